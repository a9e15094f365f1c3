//! What people ask for, as it stands in a JSON body or on the command line: typed, not yet judged.
//!
//! Numbers and times are kept wide or as text here, so that [`super::rules`] can name all that is
//! wrong with a body at once.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::routing::QueryCondition;

/// A link to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewLink {
    /// Where the link leads: an absolute URL of at most 8,192 bytes.
    #[schema(required = true, value_type = String, format = "uri", max_length = 8192, example = "https://example.com/welcome")]
    pub target: Option<String>,
    /// The path of the short URL; left out, one is generated.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9_.~/-]+$", example = "spring-sale")]
    pub slug: Option<String>,
    /// The host under which the link is found; left out, the default domain.
    #[schema(example = "go.example.com")]
    pub domain: Option<String>,
    /// The status of the redirect: 301, 302 (the default), 307 or 308.
    #[schema(value_type = Option<u16>, example = 302)]
    pub status: Option<i64>,
    /// How long browsers may remember the redirect, in seconds, up to a year.
    #[schema(value_type = Option<u32>, maximum = 31_536_000)]
    pub cache_seconds: Option<i64>,
    /// Before this moment the link is unknown.
    #[schema(format = "date-time")]
    pub valid_from: Option<String>,
    /// From this moment on the link is gone.
    #[schema(format = "date-time")]
    pub expires_at: Option<String>,
    /// Whether the query of the short URL is added to the target's.
    pub forward_query: Option<bool>,
    /// Where people go once the link is gone.
    #[schema(format = "uri", max_length = 8192)]
    pub fallback: Option<String>,
    /// How often the link can be opened, exactly, up to 2^53.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 9_007_199_254_740_992_u64)]
    pub max_clicks: Option<i64>,
    /// Where some visitors are led instead of to the target: the first rule that fits decides.
    #[serde(deserialize_with = "objects")]
    #[schema(max_items = 32)]
    pub rules: Option<Vec<NewRule>>,
    /// A name for people and previews, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    pub title: Option<String>,
    /// What is behind the link, for previews, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub description: Option<String>,
    /// The URL of a picture, for previews.
    #[schema(format = "uri", max_length = 8192)]
    pub image: Option<String>,
    /// Words to find the link by: at most 32, each of 1 to 50 characters.
    #[schema(max_items = 32)]
    pub tags: Option<Vec<String>>,
    /// Answer with an existing link to the same target and with the same settings, if there is one.
    pub reuse: Option<bool>,
}

/// A rule of a link: it leads whom all of its conditions fit to a target of its own. It has at least
/// one condition; within a list one of the values is enough, but a query must have all that is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewRule {
    /// The visitor holds one of these: `ios`, `android`, `desktop`, or `mobile`, which is any phone or
    /// tablet.
    #[schema(min_items = 1, max_items = 64, example = json!(["ios", "android"]))]
    pub device: Option<Vec<String>>,
    /// The visitor likes one of these languages best: tags of BCP 47; `de` is any German.
    #[schema(min_items = 1, max_items = 64, example = json!(["de", "pt-BR"]))]
    pub language: Option<Vec<String>>,
    /// The query of the short URL has all of these.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 64)]
    pub query: Option<Vec<QueryCondition>>,
    /// The visitor is in one of these countries: codes of ISO 3166-1 alpha-2.
    #[schema(min_items = 1, max_items = 64, example = json!(["DE"]))]
    pub country: Option<Vec<String>>,
    /// From this moment on.
    #[schema(format = "date-time")]
    pub after: Option<String>,
    /// Until just before this moment.
    #[schema(format = "date-time")]
    pub before: Option<String>,
    /// This share of the visitors, of 100: the next share after those of the earlier rules that fit the
    /// visitor as well. Who is in it stays in it.
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 100)]
    pub percent: Option<i64>,
    /// Where the rule leads.
    #[schema(required = true, value_type = String, format = "uri", max_length = 8192)]
    pub target: Option<String>,
}

/// What an edit does with one field: leave it (`None`), clear it (`Some(None)`) or set it.
pub type Change<T> = Option<Option<T>>;

/// An edit of a link: a JSON merge patch (RFC 7396). `null` clears a field.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LinkEdit {
    /// Where the link leads.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = String, format = "uri", max_length = 8192)]
    pub target: Change<String>,
    /// The status of the redirect.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u16>)]
    pub status: Change<i64>,
    /// How long browsers may remember the redirect, in seconds.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u32>, maximum = 31_536_000)]
    pub cache_seconds: Change<i64>,
    /// Before this moment the link is unknown.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub valid_from: Change<String>,
    /// From this moment on the link is gone.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub expires_at: Change<String>,
    /// Whether the query of the short URL is added to the target's.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    pub forward_query: Change<bool>,
    /// Where people go once the link is gone.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "uri", max_length = 8192)]
    pub fallback: Change<String>,
    /// Switches the link off and on.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    pub disabled: Change<bool>,
    /// How often the link can be opened. What is used up already stays used up.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 9_007_199_254_740_992_u64)]
    pub max_clicks: Change<i64>,
    /// Where some visitors are led instead; these rules replace those that stand there.
    #[serde(deserialize_with = "given_objects")]
    #[schema(value_type = Option<Vec<NewRule>>, max_items = 32)]
    pub rules: Change<Vec<NewRule>>,
    /// A name for people and previews.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    pub title: Change<String>,
    /// What is behind the link, for previews.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 500)]
    pub description: Change<String>,
    /// The URL of a picture, for previews.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "uri", max_length = 8192)]
    pub image: Change<String>,
    /// Words to find the link by; they replace those that stand there.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>, max_items = 32)]
    pub tags: Change<Vec<String>>,
    /// Not to be changed; known only to be refused with a reason.
    #[schema(ignore)]
    pub slug: Option<IgnoredAny>,
    /// Not to be changed either.
    #[schema(ignore)]
    pub domain: Option<IgnoredAny>,
}

/// Tells `null` from a field that is not there.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Change<T>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A list of objects. Left to themselves, they would be read from lists as well, which would be taken
/// for their fields in order.
fn objects<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let list: Option<Vec<Object<T>>> = Option::deserialize(from)?;
    Ok(list.map(|list| list.into_iter().map(|Object(it)| it).collect()))
}

/// Does both.
fn given_objects<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    from: D,
) -> Result<Change<Vec<T>>, D::Error> {
    objects(from).map(Some)
}

/// What is read from a JSON object and nothing else.
struct Object<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for Reader<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }

        from.deserialize_map(Reader(PhantomData)).map(Self)
    }
}
