//! `ETag` and `If-Match`: changes made for another version of the document are refused.

use aide::{
    OperationInput, OperationOutput,
    generate::GenContext,
    openapi::{Header, Operation, ReferenceOr},
    operation::{ParamLocation, parameters_from_schema},
};
use axum::{
    extract::FromRequestParts,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ETAG, IF_MATCH},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde_json::json;

use super::Failed;
use crate::control::{Expected, Versioned};

/// Versions in `If-Match`.
pub(super) struct IfMatch(pub(super) Expected);

/// Pattern of `If-Match`.
const TAGS: &str = r#"^(\*|(W/)?"[^" ]*"(, *(W/)?"[^" ]*")*)$"#;

/// Headers of a change.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the header, which is read as it comes")]
struct Conditions {
    /// `ETag`s of earlier answers, or `*`. The request fails with 412 if the configuration has
    /// changed since.
    #[serde(rename = "If-Match")]
    #[schemars(regex(pattern = TAGS))]
    if_match: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failed> {
        expected(&parts.headers).map(Self)
    }
}

fn expected(headers: &HeaderMap) -> Result<Expected, Failed> {
    let given = headers.get_all(IF_MATCH);
    let (mut versions, mut has_weak) = (Vec::new(), false);
    for list in &given {
        let list = list.to_str().map_err(|_| unreadable())?;
        for tag in tags(list).map(str::trim).filter(|tag| !tag.is_empty()) {
            match tag {
                "*" => return Ok(Expected::Any),
                tag => {
                    versions.extend(version(tag)?);
                    has_weak |= tag.starts_with("W/");
                }
            }
        }
    }
    Ok(match given.iter().next() {
        None => Expected::Any,
        Some(_) if versions.is_empty() && has_weak => Expected::Weak,
        Some(_) => Expected::OneOf(versions),
    })
}

/// Splits a list at its commas. Those within quotes are part of a tag.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    list.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    })
}

/// Returns the version in a tag. Weak and foreign tags have none.
fn version(tag: &str) -> Result<Option<u64>, Failed> {
    let strong = tag.strip_prefix("W/").unwrap_or(tag);
    let is_tag = strong.len() >= 2 && strong.starts_with('"') && strong.ends_with('"');
    if !is_tag {
        return Err(unreadable());
    }
    let digits = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let version = digits.and_then(|digits| digits.parse().ok());
    // As sent: `"07"` is another tag than `"7"`.
    Ok(version.filter(|version| tag == tag_of(*version)))
}

/// Returns the tag of a version.
fn tag_of(version: u64) -> String {
    format!("\"{version}\"")
}

fn unreadable() -> Failed {
    let detail = "`If-Match` is invalid: send the `ETag` unchanged, as in \"7\", or *";
    Failed::new(StatusCode::BAD_REQUEST, detail)
}

impl OperationInput for IfMatch {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        let schema = context.schema.subschema_for::<Conditions>();
        let schema = context.resolve_schema(&schema).clone();
        let described = parameters_from_schema(context, schema, ParamLocation::Header);
        operation.parameters.extend(described.into_iter().map(ReferenceOr::Item));
    }
}

impl<T: IntoResponse> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let mut response = self.value.into_response();
        let tag = self.version.map(|version| HeaderValue::from_str(&tag_of(version)));
        if let Some(Ok(tag)) = tag {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

impl<T: OperationOutput> OperationOutput for Versioned<T> {
    type Inner = T::Inner;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, aide::openapi::Response)> {
        let mut responses = T::inferred_responses(context, operation);
        for (_, response) in &mut responses {
            response.headers.extend(tag().map(|tag| ("ETag".to_owned(), tag)));
        }
        responses
    }
}

fn tag() -> Option<ReferenceOr<Header>> {
    let tag = json!({
        "description": "Version of the configuration, for the `If-Match` header of a change. Missing while a \
                        change is being written to disk: it may yet be undone.",
        "required": false,
        "schema": { "type": "string", "pattern": "^\"[0-9]+\"$" },
    });
    serde_json::from_value(tag).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_model::Refusal;

    fn read(lists: &[&'static str]) -> Result<Expected, Failed> {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(IF_MATCH, HeaderValue::from_static(list));
        }
        expected(&headers)
    }

    #[test]
    fn an_answer_has_a_tag_if_its_version_is_recorded() {
        let tag = |version| {
            let response = Versioned { version, value: () }.into_response();
            response.headers().get(ETAG).cloned()
        };
        assert_eq!(tag(Some(7)), Some(HeaderValue::from_static("\"7\"")));
        assert_eq!(tag(None), None);
    }

    #[test]
    fn versions_are_read_and_strange_tags_match_nothing() {
        for (lists, versions) in [
            (&["\"7\""][..], vec![7]),
            (&["\"7\", \"9\"", "\"11\""], vec![7, 9, 11]),
            (&["W/\"7\", \"8\""], vec![8]),
            (&["\"other\""], vec![]),
            (&["\"+7\"", "\"007\"", "\" 7\"", "\"0\""], vec![0]),
            (&["\"a,b\", \"7\",W/\",\""], vec![7]),
            (&["\"8,9\""], vec![]),
            (&[""], vec![]),
        ] {
            assert_eq!(read(lists), Ok(Expected::OneOf(versions)), "{lists:?}");
        }
        assert_eq!(read(&[]), Ok(Expected::Any));
        assert_eq!(read(&["*"]), Ok(Expected::Any));
        assert_eq!(read(&["W/\"7\"", "\"other\""]), Ok(Expected::Weak));
        let Refusal::Stale(said) = Expected::Weak.refuse_stale(7).expect_err("it matches nothing")
        else {
            panic!("another status")
        };
        assert!(said.contains("send the strong `ETag`"), "{said}");
        for wrong in ["7", "\"7", "\"", "W/7"] {
            assert_eq!(read(&[wrong]).expect_err(wrong).0.status, 400);
        }
    }
}
