//! The status page's files.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::{
    Router,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
    routing::get,
};
use headers::{ETag, HeaderMapExt as _, IfNoneMatch};

/// A file, with its path.
struct File {
    path: &'static str,
    media_type: &'static str,
    content: &'static str,
}

macro_rules! file {
    ($path:expr, $name:literal, $media_type:literal) => {
        File {
            path: $path,
            media_type: $media_type,
            content: include_str!(concat!("page/", $name)),
        }
    };
}

macro_rules! style {
    ($name:literal) => {
        file!(concat!("/", $name), $name, "text/css; charset=utf-8")
    };
}

macro_rules! script {
    ($name:literal) => {
        file!(concat!("/", $name), $name, "text/javascript; charset=utf-8")
    };
}

const FILES: &[File] = &[
    file!("/", "index.html", "text/html; charset=utf-8"),
    file!("/icon.svg", "icon.svg", "image/svg+xml"),
    style!("details.css"),
    style!("overview.css"),
    style!("style.css"),
    style!("table.css"),
    script!("changes.js"),
    script!("columns.js"),
    script!("details.js"),
    script!("dom.js"),
    script!("format.js"),
    script!("history.js"),
    script!("keys.js"),
    script!("live.js"),
    script!("main.js"),
    script!("overview.js"),
    script!("panels.js"),
    script!("spark.js"),
    script!("state.js"),
    script!("table.js"),
];

/// Returns a route to each file.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        let tag = file.tag();
        let answer = async move |headers: HeaderMap| file.answer(tag.as_ref(), &headers);
        router.route(file.path, get(answer))
    })
}

impl File {
    /// Returns a tag that another content would not have.
    fn tag(&self) -> Option<ETag> {
        let mut hasher = DefaultHasher::new();
        self.content.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish()).parse().ok()
    }

    /// Answers with the content, unless the client has it.
    fn answer(&self, tag: Option<&ETag>, headers: &HeaderMap) -> Response {
        let held = headers.typed_get::<IfNoneMatch>();
        let is_held = held.zip(tag).is_some_and(|(held, tag)| !held.precondition_passes(tag));
        let mut response = if is_held {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(CONTENT_TYPE, HeaderValue::from_static(self.media_type))], self.content)
                .into_response()
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Some(tag) = tag {
            headers.typed_insert(tag.clone());
        }
        response
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns all paths with their media types.
    pub(in super::super) fn paths() -> impl Iterator<Item = (&'static str, &'static str)> {
        FILES.iter().map(|file| (file.path, file.media_type))
    }

    /// Returns what stands in quotes after these words.
    fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
    }

    #[test]
    fn all_files_are_served_and_used() {
        let used = FILES.iter().flat_map(|file| {
            let of = |before| quoted(file.content, before);
            of("src=\"").chain(of("href=\"")).chain(of("from \"./"))
        });
        let mut used: BTreeSet<_> = used.map(|name| format!("/{name}")).collect();
        used.insert("/".to_owned());
        let served: BTreeSet<_> = paths().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(used, served);
    }

    #[test]
    fn no_script_or_style_is_inline() {
        for File { path, content, .. } in FILES {
            let inline = ["<script>", "<style", " style=", " onclick=", "javascript:"];
            assert!(inline.iter().all(|one| !content.contains(one)), "{path}");
        }
    }
}
