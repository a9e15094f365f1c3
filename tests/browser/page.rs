//! A page in a browser: what is on it, what can be done with it, and what is wrong with it.
//!
//! Elements are named by CSS selectors; the first that fits is meant, and one that is not there ends
//! the test. `:focus` is the element that the keyboard acts on.

use serde_json::{Value, json};

use crate::accessibility;
use crate::driver::{Session, text};
use crate::picture::{self, Picture};
use crate::visitor::Visitor;

/// Where the id of an element stands in an answer.
const ELEMENT: &str = "/element-6066-11e4-a52e-4f735466cecf";

/// A key of the keyboard.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// On to the next thing that can be used.
    Tab,
    /// Use it.
    Enter,
}

/// A page in a browser of its own.
pub struct Page {
    session: Session,
    visitor: Visitor,
    url: String,
}

impl Page {
    /// Opens a page in a browser that shows nothing yet.
    pub async fn open(session: Session, visitor: &Visitor, url: &str) -> Self {
        let mut page = Self { session, visitor: visitor.clone(), url: String::new() };
        page.set_scripts(visitor.scripts).await;
        page.go(url).await;
        page
    }

    async fn set_scripts(&mut self, on: bool) {
        let set = json!({ "value": !on });
        self.session.devtools("Emulation.setScriptExecutionDisabled", set).await;
    }

    /// Opens another page, and waits until all of it is loaded.
    pub async fn go(&mut self, url: &str) {
        self.session.post("/url", &json!({ "url": url })).await;
        url.clone_into(&mut self.url);
    }

    /// The element that the selector means.
    async fn find(&mut self, selector: &str) -> String {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.session.post("/element", &by).await;
        format!("/element/{}", text(&found, ELEMENT))
    }

    /// How many elements fit the selector.
    pub async fn count(&mut self, selector: &str) -> usize {
        let by = json!({ "using": "css selector", "value": selector });
        self.session.post("/elements", &by).await.as_array().expect("a list").len()
    }

    /// The text of an element as it is seen: what is hidden has none.
    pub async fn text(&mut self, selector: &str) -> String {
        let element = self.find(selector).await;
        text(&self.session.get(&format!("{element}/text")).await, "").to_owned()
    }

    /// The title of the page that is shown, which may be one that was asked for by a click.
    pub async fn title(&mut self) -> String {
        text(&self.session.get("/title").await, "").to_owned()
    }

    /// Whether an element can be seen.
    pub async fn shows(&mut self, selector: &str) -> bool {
        let element = self.find(selector).await;
        self.session.get(&format!("{element}/displayed")).await == json!(true)
    }

    /// An attribute as the page wrote it, if it is there.
    pub async fn attribute(&mut self, selector: &str, name: &str) -> Option<String> {
        let get = "return document.querySelector(arguments[0]).getAttribute(arguments[1])";
        let value = self.run(get, json!([selector, name])).await;
        value.as_str().map(str::to_owned)
    }

    /// A property as the browser has it now: a whole URL in `href`, for example.
    pub async fn property(&mut self, selector: &str, name: &str) -> Value {
        let element = self.find(selector).await;
        self.session.get(&format!("{element}/property/{name}")).await
    }

    /// Clicks, or taps, in the middle of an element; refused if something else lies over it.
    pub async fn click(&mut self, selector: &str) {
        let element = self.find(selector).await;
        self.session.post(&format!("{element}/click"), &json!({})).await;
    }

    /// Types a text into a field.
    pub async fn fill(&mut self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.session.post(&format!("{element}/value"), &json!({ "text": text })).await;
    }

    /// Presses a key and lets go of it.
    pub async fn press(&mut self, key: Key) {
        let value = match key {
            Key::Tab => "\u{e004}",
            Key::Enter => "\u{e007}",
        };
        let strokes = ["keyDown", "keyUp"].map(|stroke| json!({ "type": stroke, "value": value }));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.session.post("/actions", &json!({ "actions": [keyboard] })).await;
    }

    /// Runs the body of a function in the page, whatever the page's policy says; its value, or what
    /// its promise comes to.
    pub async fn run(&mut self, body: &str, arguments: Value) -> Value {
        self.session.post("/execute/sync", &json!({ "script": body, "args": arguments })).await
    }

    /// What is in the clipboard. The page itself gets no permission that it would not have: it is
    /// lent for the look alone.
    pub async fn clipboard(&mut self) -> String {
        let permissions = json!({ "permissions": ["clipboardReadWrite"] });
        self.session.devtools("Browser.grantPermissions", permissions).await;
        let held = self.run("return navigator.clipboard.readText()", json!([])).await;
        self.session.devtools("Browser.resetPermissions", json!({})).await;
        text(&held, "").to_owned()
    }

    /// Takes a picture of the whole page, however long it is: `target/screenshots/NAME.png`.
    pub async fn photograph(&mut self, name: &str) -> Picture {
        let sizes = self.session.devtools("Page.getLayoutMetrics", json!({})).await;
        let size = sizes.get("cssContentSize").expect("the size of what there is to see");
        let (width, height) = (size.get("width"), size.get("height"));
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let taken = self.session.devtools("Page.captureScreenshot", wanted).await;
        picture::keep(name, text(&taken, "/data"))
    }

    /// Takes a picture of a page that must be as dark or light as its visitor wants it, and have no
    /// faults; panics with what is wrong.
    pub async fn must_be_sound(&mut self, name: &str) {
        let corner = self.photograph(name).await.corner;
        let dark = corner.iter().all(|colour| *colour < 64);
        assert_eq!(dark, self.visitor.dark, "{name} has the colour {corner:?}");
        let faults = self.faults().await;
        assert!(faults.is_empty(), "{name} at {}:\n{}", self.url, faults.join("\n"));
    }

    /// All that is wrong with the page by any of the following.
    pub async fn faults(&mut self) -> Vec<String> {
        let mut faults = self.complaints().await;
        faults.extend(self.overhangs().await);
        faults.extend(self.accessibility_violations().await);
        faults
    }

    /// Warnings and errors in the browser's console since the last time: of scripts, of what could
    /// not be loaded, and of what the page's own security policy forbids. That the page itself has
    /// another status than 200 is no complaint.
    pub async fn complaints(&mut self) -> Vec<String> {
        let log = self.session.post("/se/log", &json!({ "type": "browser" })).await;
        let own_status = format!("{} - Failed to load resource: the server responded", self.url);
        let entries = log.as_array().expect("a list").iter();
        let serious =
            entries.filter(|entry| ["WARNING", "SEVERE"].contains(&text(entry, "/level")));
        let messages = serious.map(|entry| text(entry, "/message").to_owned());
        messages.filter(|message| !message.starts_with(&own_status)).collect()
    }

    /// What makes the page wider than the window, so that a person had to scroll sideways.
    pub async fn overhangs(&mut self) -> Vec<String> {
        // A phone zooms out until all is seen: `innerWidth` is no measure then.
        let find = "const [width] = arguments;
            const root = document.documentElement;
            if (root.scrollWidth <= width) return [];
            const wide = [...document.body.querySelectorAll('*')]
                .filter(element => element.getBoundingClientRect().right > width)
                .map(element => element.outerHTML.slice(0, 100));
            return [`${root.scrollWidth} px on a screen of ${width} px`, ...wide];";
        accessibility::texts(&self.run(find, json!([self.visitor.window.0])).await)
    }

    /// What axe-core finds by the Web Content Accessibility Guidelines 2.0 to 2.2, levels A and AA,
    /// and by good practice.
    pub async fn accessibility_violations(&mut self) -> Vec<String> {
        // Without scripts there are no timers either, which axe-core needs. What the page has not run
        // by now it does not run any more.
        self.set_scripts(true).await;
        let found = self.run(&accessibility::script(), json!([])).await;
        self.set_scripts(self.visitor.scripts).await;
        accessibility::texts(&found)
    }
}
