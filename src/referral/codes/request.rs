//! What is asked of the codes, as it stands in a JSON body, and what is wrong with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::code::referral::ReferralCode;
use crate::code::screen;
use crate::fault::{Fault, Reason};

/// The longest name that a backend has for a user, in characters.
const LONGEST_USER: usize = 128;
/// The longest name of a person that is looked at, in characters.
const LONGEST_NAME: usize = 200;
/// How much of a refused code an answer repeats, in characters.
const LONGEST_ECHO: usize = 64;

/// Somebody who wants a code to share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCode {
    /// Whose code it is: the name that your backend has for the user, 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128, example = "user-4711")]
    pub user: String,
    /// The user's own name, up to 200 characters. Only the first letters of its first two words are
    /// kept, and shown on the landing page.
    #[serde(default)]
    #[schema(max_length = 200, example = "Rina Sari")]
    pub name: Option<String>,
}

impl NewCode {
    /// What is wrong with it.
    pub(super) fn judge(&self) -> Result<(), Vec<Fault>> {
        let mut faults: Vec<Fault> = judge_user(&self.user, "/user").err().into_iter().collect();
        if self.name.as_ref().is_some_and(|name| name.chars().count() > LONGEST_NAME) {
            let detail = format!("is longer than {LONGEST_NAME} characters; shorten it");
            faults.push(Fault::new("/name", Reason::TooLong, detail));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// What is wrong with the name that a backend has for a user.
pub(super) fn judge_user(user: &str, pointer: &str) -> Result<(), Fault> {
    let refuse = |reason, detail: &str| {
        Err(Fault::new(pointer, reason, format!("{detail}, such as 'user-4711'")))
    };
    if user.trim().is_empty() {
        return refuse(Reason::Empty, "is empty; give the name that your backend has for the user");
    }
    if user.chars().count() > LONGEST_USER {
        return refuse(Reason::TooLong, "is longer than 128 characters; give a shorter name");
    }
    if user.chars().any(char::is_control) {
        return refuse(Reason::ControlCharacter, "has a control character; give a name without");
    }
    Ok(())
}

/// A code that an operator chose for a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChosenCode {
    /// 4 to 20 of the digits and letters; `I` is read as `1` and `O` as `0`, and small letters, spaces
    /// and hyphens are fine.
    #[schema(min_length = 4, max_length = 64, example = "RINA-2027")]
    pub code: String,
    /// Take the code even if a bad word can be read in it.
    #[serde(default)]
    pub allow_bad_words: bool,
}

impl ChosenCode {
    /// The code, if it can be one.
    pub(super) fn judge(&self) -> Result<ReferralCode, Fault> {
        let refuse = |reason, detail: String| Err(Fault::new("/code", reason, detail));
        let Some(code) = ReferralCode::normalise(&self.code) else {
            let given: String = self.code.chars().take(LONGEST_ECHO).collect();
            return refuse(
                Reason::BadCharacter,
                format!(
                    "'{given}' is no code: give 4 to 20 of the digits and letters, without accents; \
                     spaces and hyphens are left out"
                ),
            );
        };
        match screen::bad_word(code.as_str()) {
            Some(word) if !self.allow_bad_words => refuse(
                Reason::Reserved,
                format!(
                    "'{word}' can be read in {code}; choose another code, or send \
                     \"allow_bad_words\": true"
                ),
            ),
            Some(_) | None => Ok(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_users_name_is_told() {
        let judged = |user: &str| {
            let new = NewCode { user: user.to_owned(), name: Some("x".repeat(201)) };
            let faults = new.judge().expect_err("the name is too long");
            faults.iter().map(|it| format!("{} {:?}", it.pointer, it.reason)).collect::<Vec<_>>()
        };
        assert_eq!(judged("u"), ["/name TooLong"]);
        assert_eq!(judged(&"ü".repeat(128)), ["/name TooLong"]);
        assert_eq!(judged(&"ü".repeat(129)), ["/user TooLong", "/name TooLong"]);
        assert_eq!(judged(" "), ["/user Empty", "/name TooLong"]);
        assert_eq!(judged("a\u{0}"), ["/user ControlCharacter", "/name TooLong"]);
    }

    #[test]
    fn a_chosen_code_is_read_and_screened() {
        let judged = |code: &str, allow_bad_words| {
            ChosenCode { code: code.to_owned(), allow_bad_words }.judge().map_err(|it| it.reason)
        };
        let read = |code: &str| Ok(ReferralCode::exactly(code).expect("a code"));
        assert_eq!(judged("rina-2027", false), read("R1NA2027"));
        assert_eq!(judged("class", false), Err(Reason::Reserved));
        assert_eq!(judged("class", true), read("CLASS"));
        for bad in ["", "abc", "rína", "1234567890 1234567890 1", &"a".repeat(200)] {
            assert_eq!(judged(bad, true), Err(Reason::BadCharacter), "{bad}");
        }
    }
}
