//! Extractors that answer invalid requests with a problem document.

use std::{collections::HashSet, convert::Infallible, fmt, marker::PhantomData};

use aide::{OperationInput, generate::GenContext, openapi::Operation};
use axum::{
    Json, body,
    extract::{
        self, FromRequest, FromRequestParts, Request,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{StatusCode, request::Parts},
};
use hyper::body::{Body as _, Bytes};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
    },
};

use serde_path_to_error::Segment;
use tokio::{runtime::Handle, task::spawn_blocking};

use super::Problem;
use crate::control::{KeyFault, Room};

/// Size of a body, in bytes, that is parsed without a blocking thread.
const QUICK: u64 = 64 << 10;

/// Body with a JSON object of this type.
pub(super) struct Body<T>(pub(super) T);

/// A JSON object. Serde also accepts an array of values for a struct.
struct Object<T>(T);

impl<T, S> FromRequest<S> for Body<T>
where
    T: DeserializeOwned + Send + 'static,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let Object(body) = read(request).await?;
        Ok(Self(body))
    }
}

/// Parses large bodies on a blocking thread.
async fn read<T: DeserializeOwned + Send + 'static>(request: Request) -> Result<T, Problem> {
    if request.body().size_hint().lower() <= QUICK {
        return parse(request).await;
    }
    let runtime = Handle::current();
    let reading = spawn_blocking(move || runtime.block_on(parse(request)));
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "reading the body failed");
    reading.await.map_err(failed)?
}

async fn parse<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let (head, body) = request.into_parts();
    let body = Bytes::from_request(Request::from_parts(head.clone(), body), &()).await;
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let request = Request::from_parts(head, body::Body::from(body.clone()));
    let refused = |rejection: JsonRejection| {
        let problem = Problem::new(rejection.status(), rejection.body_text());
        match rejection {
            JsonRejection::JsonDataError(_) => Problem { errors: faults::<T>(&body), ..problem },
            _ => problem,
        }
    };
    let Json(value) = Json::from_request(request, &()).await.map_err(refused)?;
    // Serde itself accepts duplicate keys of a map and takes the last one.
    serde_json::from_slice::<Unrepeated>(&body)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    Ok(value)
}

/// Returns the invalid keys of a body.
fn faults<T: DeserializeOwned>(body: &[u8]) -> Vec<KeyFault> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return Vec::new();
    };
    let keys = error.path().iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.replace('~', "~0").replace('/', "~1")),
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    let keys: Vec<_> = keys.collect();
    let detail = error.inner().to_string();
    let pointer = format!("#/{}", keys.join("/"));
    if keys.is_empty() { Vec::new() } else { vec![KeyFault { detail, pointer }] }
}

/// Any JSON value without duplicate keys.
struct Unrepeated;

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unrepeated {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self, A::Error> {
        while values.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            members.next_value::<Self>()?;
            if keys.contains(&key) {
                return Err(A::Error::custom(format_args!("the key `{key}` is given twice")));
            }
            keys.insert(key);
        }
        Ok(self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object, as in {\"key\": \"value\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

/// Path parameters.
pub(super) struct Path<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    extract::Path<T>: FromRequestParts<S, Rejection = PathRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Path::from_request_parts(parts, state).await {
            Ok(extract::Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// Query parameters.
pub(super) struct Query<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    extract::Query<T>: FromRequestParts<S, Rejection = QueryRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Query::from_request_parts(parts, state).await {
            Ok(extract::Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// Memory reserved for the request's body.
pub(super) struct Held(pub(super) Room);

impl<S: Send + Sync> FromRequestParts<S> for Held {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Room>().cloned().unwrap_or_default()))
    }
}

impl OperationInput for Held {}

impl<T: JsonSchema> OperationInput for Body<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        Json::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationInput for Path<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        extract::Path::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        extract::Query::<T>::operation_input(context, operation);
    }
}
