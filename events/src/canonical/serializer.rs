//! The serde serializer that writes canonical bytes directly.
//!
//! Members are written as they come, each with a comma behind it. Objects whose members came
//! in order (the usual case: fields are declared in order) are finished in place; the others
//! are put in order once, at their end.

use std::borrow::Cow;

use serde::ser::{self, Serialize};

use super::error::{CanonicalError, Problem};
use super::text::{compare_keys, write_integer, write_string};
use crate::value::MAX_SAFE_INTEGER;

type Result<T> = std::result::Result<T, CanonicalError>;

pub(super) struct Serializer<'o> {
    out: &'o mut Vec<u8>,
    /// Members of all objects that are open, innermost last.
    members: Vec<Member>,
    /// The last value was a null: nothing was written for it.
    omitted: bool,
}

struct Member {
    key: Cow<'static, str>,
    start: usize,
}

impl<'o> Serializer<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, members: Vec::new(), omitted: false }
    }

    pub(super) fn run<T: Serialize + ?Sized>(mut self, value: &T) -> Result<()> {
        value.serialize(&mut self)?;
        if self.omitted { Err(CanonicalError::new(Problem::Null)) } else { Ok(()) }
    }

    fn integer(&mut self, value: impl TryInto<i64> + ToString + Copy) -> Result<()> {
        match value.try_into() {
            Ok(n) if n.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs() => {
                write_integer(self.out, n);
                Ok(())
            }
            _ => Err(CanonicalError::new(Problem::Integer(value.to_string()))),
        }
    }

    fn array<'s>(&'s mut self, closing: &'static [u8]) -> Array<'s, 'o> {
        self.out.push(b'[');
        Array { to: self, index: 0, closing }
    }

    fn object<'s>(&'s mut self, closing: &'static [u8]) -> Object<'s, 'o> {
        self.out.push(b'{');
        let (first, start) = (self.members.len(), self.out.len());
        Object { to: self, first, start, sorted: true, key: None, closing }
    }

    /// Opens the object with one member that stands for an enum's variant.
    fn variant(&mut self, name: &'static str) {
        self.out.push(b'{');
        write_string(self.out, name);
        self.out.push(b':');
    }

    /// The order of the last member against the one before it.
    fn in_order(&self, first: usize) -> Result<bool> {
        let [.., before, last] = &self.members[first..] else { return Ok(true) };
        match compare_keys(&before.key, &last.key) {
            std::cmp::Ordering::Less => Ok(true),
            std::cmp::Ordering::Greater => Ok(false),
            std::cmp::Ordering::Equal => Err(duplicate(&last.key)),
        }
    }

    /// Puts the members of the innermost object in order.
    fn sort(&mut self, first: usize, start: usize) -> Result<()> {
        let mut spans = Vec::with_capacity(self.members.len() - first);
        let mut end = self.out.len();
        for member in self.members.drain(first..).rev() {
            spans.push((member.key, member.start..end));
            end = member.start;
        }
        spans.sort_by(|(left, _), (right, _)| compare_keys(left, right));
        if let Some(pair) = spans.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(duplicate(&pair[0].0));
        }
        let mut sorted = Vec::with_capacity(self.out.len() - start);
        for (_, span) in spans {
            sorted.extend_from_slice(&self.out[span]);
        }
        self.out[start..].copy_from_slice(&sorted);
        Ok(())
    }
}

fn duplicate(key: &str) -> CanonicalError {
    CanonicalError::new(Problem::Duplicate(key.to_string()))
}

/// An array that is open.
pub(super) struct Array<'s, 'o> {
    to: &'s mut Serializer<'o>,
    index: usize,
    closing: &'static [u8],
}

impl Array<'_, '_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if self.index > 0 {
            self.to.out.push(b',');
        }
        let place = |error: CanonicalError| error.inside(&format!("[{}]", self.index));
        value.serialize(&mut *self.to).map_err(place)?;
        if self.to.omitted {
            return Err(place(CanonicalError::new(Problem::Null)));
        }
        self.index += 1;
        Ok(())
    }

    fn close(self) -> Result<()> {
        self.to.out.extend_from_slice(self.closing);
        Ok(())
    }
}

/// An object that is open.
pub(super) struct Object<'s, 'o> {
    to: &'s mut Serializer<'o>,
    first: usize,
    start: usize,
    sorted: bool,
    key: Option<String>,
    closing: &'static [u8],
}

impl Object<'_, '_> {
    fn member<T: Serialize + ?Sized>(&mut self, key: Cow<'static, str>, value: &T) -> Result<()> {
        let start = self.to.out.len();
        write_string(self.to.out, &key);
        self.to.out.push(b':');
        value.serialize(&mut *self.to).map_err(|error| error.inside(&format!(".{key}")))?;
        if std::mem::take(&mut self.to.omitted) {
            self.to.out.truncate(start);
            return Ok(());
        }
        self.to.out.push(b',');
        self.to.members.push(Member { key, start });
        if self.sorted {
            self.sorted = self.to.in_order(self.first)?;
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        let empty = self.to.members.len() == self.first;
        if self.sorted {
            self.to.members.truncate(self.first);
        } else {
            self.to.sort(self.first, self.start)?;
        }
        if !empty {
            self.to.out.pop();
        }
        self.to.out.extend_from_slice(self.closing);
        Ok(())
    }
}

impl<'s, 'o> ser::Serializer for &'s mut Serializer<'o> {
    type Ok = ();
    type Error = CanonicalError;
    type SerializeSeq = Array<'s, 'o>;
    type SerializeTuple = Array<'s, 'o>;
    type SerializeTupleStruct = Array<'s, 'o>;
    type SerializeTupleVariant = Array<'s, 'o>;
    type SerializeMap = Object<'s, 'o>;
    type SerializeStruct = Object<'s, 'o>;
    type SerializeStructVariant = Object<'s, 'o>;

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }
    fn serialize_i8(self, value: i8) -> Result<()> {
        self.integer(value)
    }
    fn serialize_i16(self, value: i16) -> Result<()> {
        self.integer(value)
    }
    fn serialize_i32(self, value: i32) -> Result<()> {
        self.integer(value)
    }
    fn serialize_i64(self, value: i64) -> Result<()> {
        self.integer(value)
    }
    fn serialize_i128(self, value: i128) -> Result<()> {
        self.integer(value)
    }
    fn serialize_u8(self, value: u8) -> Result<()> {
        self.integer(value)
    }
    fn serialize_u16(self, value: u16) -> Result<()> {
        self.integer(value)
    }
    fn serialize_u32(self, value: u32) -> Result<()> {
        self.integer(value)
    }
    fn serialize_u64(self, value: u64) -> Result<()> {
        self.integer(value)
    }
    fn serialize_u128(self, value: u128) -> Result<()> {
        self.integer(value)
    }
    fn serialize_f32(self, _: f32) -> Result<()> {
        Err(CanonicalError::new(Problem::Float))
    }
    fn serialize_f64(self, _: f64) -> Result<()> {
        Err(CanonicalError::new(Problem::Float))
    }
    fn serialize_char(self, value: char) -> Result<()> {
        write_string(self.out, value.encode_utf8(&mut [0; 4]));
        Ok(())
    }
    fn serialize_str(self, value: &str) -> Result<()> {
        write_string(self.out, value);
        Ok(())
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<()> {
        Err(CanonicalError::new(Problem::Bytes))
    }
    fn serialize_none(self) -> Result<()> {
        self.omitted = true;
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<()> {
        self.serialize_none()
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_none()
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<()> {
        self.serialize_str(name)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        let mut object = self.object(b"}");
        object.member(Cow::Borrowed(name), value)?;
        object.close()
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Array<'s, 'o>> {
        Ok(self.array(b"]"))
    }
    fn serialize_tuple(self, _: usize) -> Result<Array<'s, 'o>> {
        Ok(self.array(b"]"))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Array<'s, 'o>> {
        Ok(self.array(b"]"))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Array<'s, 'o>> {
        self.variant(name);
        Ok(self.array(b"]}"))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Object<'s, 'o>> {
        Ok(self.object(b"}"))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Object<'s, 'o>> {
        Ok(self.object(b"}"))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Object<'s, 'o>> {
        self.variant(name);
        Ok(self.object(b"}}"))
    }
}

macro_rules! array_like {
    ($($name:ident :: $add:ident),*) => {$(
        impl ser::$name for Array<'_, '_> {
            type Ok = ();
            type Error = CanonicalError;
            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }
            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )*};
}

array_like!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! struct_like {
    ($($name:ident),*) => {$(
        impl ser::$name for Object<'_, '_> {
            type Ok = ();
            type Error = CanonicalError;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<()> {
                self.member(Cow::Borrowed(key), value)
            }
            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )*};
}

struct_like!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Object<'_, '_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key = Some(text_of_key(key)?);
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key = self.key.take().ok_or_else(|| CanonicalError::new(Problem::Key))?;
        self.member(Cow::Owned(key), value)
    }
    fn end(self) -> Result<()> {
        self.close()
    }
}

/// A key as text. Anything that renders as one string will do; a number will not, because it
/// would have to change its type.
fn text_of_key<T: Serialize + ?Sized>(key: &T) -> Result<String> {
    match serde_json::to_value(key) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        _ => Err(CanonicalError::new(Problem::Key)),
    }
}
