//! JSON objects that are read as such. What serde derives for a struct takes an array of its fields as well, in an order
//! that no documentation has; so one that came by mistake, or was meant to get past a check, would be understood.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A struct that is read from an object, and from nothing else.
///
/// ```
/// use tidings_protocol::{Object, Problem};
/// let array = r#"["urn:tidings:not-found", "not found", 404, "no such path"]"#;
/// assert!(serde_json::from_str::<Problem>(array).is_ok());
/// assert!(serde_json::from_str::<Object<Problem>>(array).is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Object<T>(pub T);

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Reads a field that is an object, for `#[serde(deserialize_with = …)]`.
///
/// # Errors
/// As the deserializer says, and where the field is something else.
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// The same for one that may be `null`.
///
/// # Errors
/// See [`object`].
pub fn object_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value))
}

/// The same for an array of objects.
///
/// # Errors
/// See [`object`].
pub fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Object<T>>::deserialize(deserializer)?.into_iter().map(|Object(value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Page;

    #[test]
    fn a_page_and_what_is_on_it_are_objects() {
        let reads = |text: &str| serde_json::from_str::<Object<Page>>(text).is_ok();
        let event = r#"{"id":"q7m2x9-1","topic":"a","time":"2026-11-22T05:46:19.123Z","data":{"x": [1]}}"#;
        let gap = r#"{"reason":"expired","since":"q7m2x9-1","resumed":"q7m2x9-4"}"#;
        assert!(reads(&format!(r#"{{"events":[{event}],"next":"q7m2x9-1","gap":{gap}}}"#)));
        assert!(reads(r#"{"events":[],"next":"q7m2x9-1","gap":null}"#));
        for text in [
            r#"[[], "q7m2x9-1", false]"#,
            r#"{"events":[["q7m2x9-1","a",null,"2026-11-22T05:46:19.123Z",null,1]],"next":"q7m2x9-1"}"#,
            r#"{"events":[],"next":"q7m2x9-1","gap":["expired","q7m2x9-1","q7m2x9-4"]}"#,
            r#"{"events":{},"next":"q7m2x9-1"}"#,
        ] {
            assert!(!reads(text), "{text}");
        }
    }
}
