//! Who looks at a page, and with what.

use serde_json::json;

use crate::driver::Session;
use crate::page::Page;

/// What a phone says that it is. A browser without a window would say so, and be taken for a program.
const PHONE: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/140.0.0.0 Mobile Safari/537.36";
const DESKTOP: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Chrome/140.0.0.0 Safari/537.36";

/// A person with a screen, a language and habits.
///
/// ```ignore
/// let mut page = Visitor::on_a_phone().in_the_dark().who_reads("de,en").opens(&url).await;
/// assert_eq!(page.faults().await, NONE);
/// ```
#[derive(Clone, Debug)]
#[must_use = "nobody looks at a page before they open it"]
pub struct Visitor {
    /// Width and height of the window, in CSS pixels.
    pub window: (u32, u32),
    on_a_phone: bool,
    user_agent: String,
    languages: String,
    /// Whether dark colours are preferred.
    pub dark: bool,
    /// Whether the scripts of pages run.
    pub scripts: bool,
}

impl Visitor {
    /// With a small phone: 320 by 640 CSS pixels of two by two dots, and touch. Reads English.
    pub fn on_a_phone() -> Self {
        Self { window: (320, 640), on_a_phone: true, ..Self::on_a_desktop() }.who_says_to_be(PHONE)
    }

    /// With a desktop computer: a window of 1280 by 800, and a mouse. Reads English.
    pub fn on_a_desktop() -> Self {
        Self {
            window: (1280, 800),
            on_a_phone: false,
            user_agent: DESKTOP.to_owned(),
            languages: "en".to_owned(),
            dark: false,
            scripts: true,
        }
    }

    /// The same person in light and in dark, each with a word for it.
    pub fn by_day_and_night(self) -> [(&'static str, Self); 2] {
        [("light", self.clone()), ("dark", self.in_the_dark())]
    }

    /// Prefers dark colours.
    pub fn in_the_dark(self) -> Self {
        Self { dark: true, ..self }
    }

    /// Reads these languages, the best one first: `de,en`.
    pub fn who_reads(self, languages: &str) -> Self {
        Self { languages: languages.to_owned(), ..self }
    }

    /// With a browser that sends this `User-Agent`.
    pub fn who_says_to_be(self, user_agent: &str) -> Self {
        Self { user_agent: user_agent.to_owned(), ..self }
    }

    /// With a browser that runs no script of any page.
    pub fn without_scripts(self) -> Self {
        Self { scripts: false, ..self }
    }

    /// Starts a browser and opens a page in it.
    pub async fn opens(&self, url: &str) -> Page {
        let (width, height) = self.window;
        let screen = json!({
            "width": width,
            "height": height,
            "pixelRatio": if self.on_a_phone { 2 } else { 1 },
            "touch": self.on_a_phone,
            "mobile": self.on_a_phone,
        });
        let preferences = json!({ "intl.accept_languages": self.languages });
        let flags = [
            format!("--user-agent={}", self.user_agent),
            format!("--accept-lang={}", self.languages),
        ];
        let mut session = Session::start(&screen, &preferences, &flags).await;
        let scheme = if self.dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        session.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        Page::open(session, self, url).await
    }
}
