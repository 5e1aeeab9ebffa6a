//! Search for an expected pattern in a server's answer.

use std::time::Duration;

use hyper::body::Bytes;
use tokio::time;

use super::pattern::Pattern;

/// Maximum length in bytes of an answer that is searched.
const LONGEST: usize = 1 << 16;

/// Time without new data after which an answer is searched, however short it is.
const QUIET: Duration = Duration::from_millis(20);

/// Result of reading an answer.
#[derive(Debug)]
pub(super) struct Read<E> {
    pub(super) is_match: bool,
    /// Error that ended it.
    pub(super) broken: Option<E>,
}

/// A source of data in pieces.
pub(super) trait Pieces: Send {
    type Error: Send;

    /// Returns the next piece, or None at the end. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Self::Error>> + Send;
}

/// Reads pieces until the answer matches or ends. With `is_provisional`, more data may undo a
/// match, so only the whole answer is searched.
pub(super) async fn read<P: Pieces>(
    pattern: &Pattern,
    is_provisional: bool,
    mut pieces: P,
) -> Read<P::Error> {
    let (mut bytes, mut searched) = (Vec::new(), None);
    let mut broken = None;
    while bytes.len() < LONGEST {
        let piece = if is_provisional || searched == Some(bytes.len()) {
            Some(pieces.next().await)
        } else if is_worth_it(searched, bytes.len()) {
            None
        } else {
            time::timeout(QUIET, pieces.next()).await.ok()
        };
        match piece {
            Some(Ok(Some(piece))) => bytes.extend_from_slice(&piece),
            Some(Ok(None)) => break,
            Some(Err(error)) => {
                broken = Some(error);
                break;
            }
            None if pattern.matches(&mut bytes).await => return Read { is_match: true, broken },
            None => searched = Some(bytes.len()),
        }
    }
    bytes.truncate(LONGEST);
    Read { is_match: pattern.matches(&mut bytes).await, broken }
}

/// Returns true if an answer has grown enough since the last search to be searched again: one that
/// comes byte by byte would otherwise be searched once per byte.
fn is_worth_it(searched: Option<usize>, length: usize) -> bool {
    searched.is_none_or(|searched| length - searched > searched / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_model::CheckRequest;

    /// Pieces, and the event after them.
    struct Listed<'a> {
        pieces: std::slice::Iter<'a, &'static [u8]>,
        last: Last,
        count: &'a mut usize,
    }

    enum Last {
        End,
        Error,
        Silence,
    }

    impl Pieces for Listed<'_> {
        type Error = ();

        async fn next(&mut self) -> Result<Option<Bytes>, ()> {
            if let Some(piece) = self.pieces.next() {
                *self.count += 1;
                return Ok(Some(Bytes::from_static(piece)));
            }
            match self.last {
                Last::End => Ok(None),
                Last::Error => Err(()),
                Last::Silence => std::future::pending().await,
            }
        }
    }

    /// Reads these pieces; returns whether they match and the number of pieces read.
    async fn read_pieces(pattern: &str, pieces: &[&'static [u8]], last: Last) -> (bool, usize) {
        let mut count = 0;
        let pieces = Listed { pieces: pieces.iter(), last, count: &mut count };
        let request = CheckRequest { expect: Some(pattern.to_owned()), ..CheckRequest::default() };
        let pattern = Pattern::of(&request).expect("valid").expect("a pattern");
        let read = read(&pattern, false, pieces).await;
        (read.is_match, count)
    }

    #[tokio::test]
    async fn what_is_expected_is_found_wherever_the_pieces_are_cut() {
        let many = vec![&b"x"[..]; 1_000];
        for last in [Last::End, Last::Error, Last::Silence] {
            let pieces = [&many[..], &[b"hea", b"lthy"]].concat();
            assert_eq!(read_pieces("healthy", &pieces, last).await, (true, 1_002));
        }
        assert_eq!(read_pieces("healthy", &many, Last::End).await, (false, 1_000));
        assert_eq!(read_pieces("", &many, Last::Silence).await, (true, 0));
        let found = read_pieces("healthy", &[b"healthy", b"more"], Last::Silence).await;
        assert_eq!(found, (true, 1), "no more is read than is needed");
    }

    #[tokio::test]
    async fn no_more_than_the_longest_answer_is_read() {
        let many = vec![&b"x"[..]; LONGEST + 9];
        assert_eq!(read_pieces("healthy", &many, Last::Silence).await, (false, LONGEST));
    }

    #[test]
    fn a_byte_at_a_time_is_searched_a_few_times() {
        let (mut searched, mut count) = (None, 0);
        for length in 1..=LONGEST {
            if is_worth_it(searched, length) {
                searched = Some(length);
                count += 1;
            }
        }
        assert!(count < 100, "{count}");
    }
}
