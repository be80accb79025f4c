//! The building blocks of [`super::raw`]: values that know where they are written.
//!
//! serde's own `untagged` and `flatten` lose positions, so the few places where YAML may say a
//! thing in two ways have a hand-written visitor each.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{
        self, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_saphyr::Spanned;

/// A value and the place where it is written.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// 1-based line in the YAML text.
    pub(super) line: u32,
    /// 1-based column in the YAML text, in characters.
    pub(super) column: u32,
}

/// A scalar as it is written: numbers and booleans keep their spelling, so that an interpolation
/// may stand in for any of them.
pub(super) type Text = At<String>;

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { value, line: referenced.line() as u32, column: referenced.column() as u32 })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// A map whose keys the user chose, in the order written.
#[derive(Debug, Clone)]
pub(super) struct Named<V>(pub(super) Vec<(Text, V)>);

impl<V> Named<V> {
    /// The entries of a map that may be left out.
    pub(super) fn entries(map: Option<&Self>) -> &[(Text, V)] {
        map.map_or(&[], |map| map.0.as_slice())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Named<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Named<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<V: JsonSchema> JsonSchema for Named<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        BTreeMap::<String, V>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, V>::json_schema(generator)
    }
}

/// A list of texts; a single text stands for a list of one.
#[derive(Debug, Clone)]
pub(super) struct Texts(pub(super) Vec<Text>);

impl Texts {
    /// The texts of a list that may be left out.
    pub(super) fn entries(list: Option<&Self>) -> &[Text] {
        list.map_or(&[], |list| list.0.as_slice())
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        enum Form {
            One(String),
            Many(Vec<Text>),
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Form;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Form, E> {
                Ok(Form::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Form, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(seq)).map(Form::Many)
            }
        }
        impl<'de> Deserialize<'de> for Form {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Either)
            }
        }
        let At { value, line, column } = At::<Form>::deserialize(deserializer)?;
        Ok(match value {
            Form::One(value) => Self(vec![At { value, line, column }]),
            Form::Many(texts) => Self(texts),
        })
    }
}

impl JsonSchema for Texts {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ]
        })
    }
}

/// A map, or a text that stands for the most common one.
#[derive(Debug, Clone)]
pub(super) enum OrText<T> {
    /// The text.
    Text(String),
    /// The map.
    Map(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OrText<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a map of keys")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OrText::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OrText::Map)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OrText<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}OrText", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<T>();
        json_schema!({ "oneOf": [{ "type": "string", "minLength": 1 }, map] })
    }
}

/// A keyword, of which one is `null`: what YAML takes for nothing is that word here.
#[derive(Debug, Clone)]
pub(super) struct Word(pub(super) Text);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form(String);
        struct TextOrNull;
        impl Visitor<'_> for TextOrNull {
            type Value = Form;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Form, E> {
                Ok(Form(text.to_owned()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Form, E> {
                self.visit_str("null")
            }

            fn visit_none<E: de::Error>(self) -> Result<Form, E> {
                self.visit_str("null")
            }
        }
        impl<'de> Deserialize<'de> for Form {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(TextOrNull)
            }
        }
        let At { value: Form(value), line, column } = At::<Form>::deserialize(deserializer)?;
        Ok(Self(At { value, line, column }))
    }
}

/// A [`Word`] that may be left out. (Of an `Option`, serde makes nothing where `null` stands.)
pub(super) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text>, D::Error> {
    Word::deserialize(deserializer).map(|Word(text)| Some(text))
}
