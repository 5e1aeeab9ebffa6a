//! Answers that come line by line.

use std::mem;

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::error::{BROKEN_OFF, ClientError, STRANGE};

/// Streamed answer with one JSON object per line.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    /// Start of an incomplete line.
    rest: Vec<u8>,
}

impl Lines {
    pub(crate) const fn new(body: Incoming) -> Self {
        Self { body, rest: Vec::new() }
    }

    /// Returns the objects of some complete lines, or None at the end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Vec<T>>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.context(BROKEN_OFF)?;
            self.rest.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
            if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(end + 1);
                let lines = mem::replace(&mut self.rest, rest);
                let objects = serde_json::Deserializer::from_slice(&lines)
                    .into_iter()
                    .collect::<Result<_, _>>();
                return Ok(Some(objects.context(STRANGE)?));
            }
        }
        Ok(None)
    }
}
