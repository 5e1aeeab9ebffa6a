//! Debian's Chromium, headless, on the balancer's own host.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fantoccini::{
    Client, ClientBuilder,
    actions::{InputSource as _, KeyAction, KeyActions},
    error::CmdError,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use lb_testbed::Testbed;
use serde_json::{Value, json};
use tokio::time::sleep;
use url::{ParseError, Url};

/// Where chromedriver listens, in the balancer's namespace.
const DRIVER: &str = "http://127.0.0.1:9515";

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
pub enum Scheme {
    Light,
    Dark,
}

/// A page in the browser.
pub struct Page(Client);

/// Takes steps in a browser, which must then have nothing to complain of.
///
/// # Panics
///
/// If a step does, or the browser has logged anything.
pub fn browse(testbed: &Testbed, steps: impl AsyncFnOnce(&Page) + Send) {
    let profile = testbed.directory().join("chromium");
    let _driver = Driver::start(testbed);
    let browsed = testbed.balancer().run_async(async || {
        let page = Page::open(&profile.display().to_string()).await;
        steps(&page).await;
        let log = page.log().await;
        assert!(log.is_empty(), "the browser complains: {log:#?}");
        page.0.close().await.expect("it ends");
    });
    browsed.expect("the balancer's namespace");
}

impl Page {
    async fn open(profile: &str) -> Self {
        let options = json!({
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--window-size=1280,800",
                format!("--user-data-dir={profile}"),
            ]
        });
        let wanted = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let wanted: Capabilities = serde_json::from_value(wanted).expect("an object");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            match builder.capabilities(wanted.clone()).connect(DRIVER).await {
                Ok(client) => return Self(client),
                Err(error) => assert!(Instant::now() < deadline, "no browser: {error}"),
            }
            sleep(POLL).await;
        }
    }

    /// # Panics
    ///
    /// If the address cannot be opened.
    pub async fn goto(&self, url: &str) {
        self.0.goto(url).await.expect("the page");
    }

    /// Returns the value of an expression.
    ///
    /// # Panics
    ///
    /// If it throws.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!("return await (async () => ({expression}))()");
        match self.0.execute(&script, Vec::new()).await {
            Ok(value) => value,
            Err(error) => panic!("{expression}: {error}"),
        }
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    ///
    /// If that does not come soon.
    pub async fn wait(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(&format!("Boolean({expression})")).await != true {
            if Instant::now() > deadline {
                let shown = self.value("document.body.innerText").await;
                panic!("{expression} must come soon; the page shows {shown:#}");
            }
            sleep(POLL).await;
        }
    }

    /// Presses keys, wherever the focus is.
    ///
    /// # Panics
    ///
    /// If the browser refuses.
    pub async fn press(&self, keys: &str) {
        let presses =
            keys.chars().flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }]);
        let actions = presses.fold(KeyActions::new("keyboard".to_owned()), KeyActions::then);
        self.0.perform_actions(actions).await.expect("keys");
    }

    /// Sets the size of the window's content and the preferred colours.
    pub async fn appear(&self, width: u32, height: u32, scheme: Scheme) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = format!("{scheme:?}").to_lowercase();
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Returns a picture of the window's content, as PNG.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn picture(&self) -> Vec<u8> {
        self.0.screenshot().await.expect("a picture")
    }

    /// Returns what the browser has complained of since the last call.
    ///
    /// # Panics
    ///
    /// If it does not tell.
    pub async fn log(&self) -> Vec<Value> {
        let log = self.command("se/log", json!({ "type": "browser" })).await.expect("its log");
        log.as_array().cloned().expect("a list")
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.command("goog/cdp/execute", body).await.expect("a command of the browser");
    }

    async fn command(&self, path: &'static str, body: Value) -> Result<Value, CmdError> {
        self.0.issue_cmd(Extension { path, body }).await
    }
}

/// A command of chromedriver that is not in the standard.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// Killed when this is dropped; the browser ends with its session, or with the testbed.
struct Driver(Child);

impl Driver {
    fn start(testbed: &Testbed) -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=9515").stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(testbed.balancer().spawn(&mut command).expect("chromedriver"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
