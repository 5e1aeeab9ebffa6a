//! Refusals of errors.

use lb_config::Diagnostics;
use lb_dataplane::{arena::NoRoom, ring::Excess};
use lb_model::{KeyFault, Refusal};

/// Returns the refusal of a change of one service, which only clashes with the others.
pub(super) fn clashing(error: anyhow::Error) -> Refusal {
    match failed(error) {
        Refusal::Invalid(detail) => Refusal::Conflict(detail),
        refusal => refusal,
    }
}

/// Returns the refusal of a whole document.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
pub(super) fn failed(error: anyhow::Error) -> Refusal {
    let detail = format!("{error:#}");
    match error.downcast_ref::<NoRoom>() {
        Some(no_room) if no_room.is_temporary => Refusal::Busy(detail),
        Some(_) => Refusal::Invalid(detail),
        None if error.is::<Excess>() => Refusal::Invalid(detail),
        None => Refusal::Failed(detail),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
pub(super) fn invalid(error: anyhow::Error) -> Refusal {
    let report = format!("{error:#}");
    let Some(found) = error.downcast_ref::<Diagnostics>() else {
        return Refusal::Invalid(report);
    };
    let faults = found
        .findings()
        .iter()
        .map(|finding| KeyFault { detail: finding.to_string(), pointer: "#/text".to_owned() });
    Refusal::InvalidFile { detail: found.sentence(), errors: faults.collect(), report }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use lb_dataplane::arena::Arena;

    use super::*;

    #[test]
    fn a_change_without_room_for_now_may_be_tried_again() {
        let (now, mut arena) = (Instant::now(), Arena::new(4));
        let region = arena.allocate(4, now).expect("room");
        let never = arena.allocate(1, now).expect_err("full");
        assert!(matches!(failed(never.into()), Refusal::Invalid(_)));
        arena.free(region, now);
        let later = arena.allocate(1, now).expect_err("it rests");
        assert!(matches!(failed(later.into()), Refusal::Busy(_)));
    }
}
