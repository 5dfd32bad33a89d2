//! What records are made of: lists of values, and lists that are refused if they are too long.

use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::MOST_WRITTEN;

/// Values of a tensor: written out, or by the name of the file's tensor that has them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Numbers {
    Of(String),
    These(Vec<f32>),
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Numbers;

            fn expecting(&self, formatter: &mut Formatter) -> fmt::Result {
                formatter.write_str("a name or numbers")
            }

            fn visit_str<E>(self, name: &str) -> Result<Numbers, E> {
                Ok(Numbers::Of(name.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Numbers, A::Error> {
                Few::<MOST_WRITTEN, f32>(PhantomData)
                    .visit_seq(list)
                    .map(Numbers::These)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A list, refused if it is longer than any sound one.
pub fn few<'de, const MOST: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Few::<MOST, T>(PhantomData))
}

struct Few<const MOST: usize, T>(PhantomData<T>);

impl<'de, const MOST: usize, T: Deserialize<'de>> Visitor<'de> for Few<MOST, T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut Formatter) -> fmt::Result {
        write!(formatter, "at most {MOST}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            if all.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            all.push(one);
        }
        Ok(all)
    }
}

/// Longest side of an image, and largest window or step, so that no arithmetic on them overflows.
pub const MOST_SIDE: usize = 1 << 14;
