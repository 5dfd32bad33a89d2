//! The file to be packed, held in memory only while it is read.

use std::borrow::Cow;

use crate::error::Result;

/// The bytes of an ONNX file. If they can be read again, they are dropped once something is made from them.
pub struct Original<'a> {
    held: Option<Cow<'a, [u8]>>,
    again: Option<&'a mut dyn FnMut() -> Result<Vec<u8>>>,
}

impl<'a> Original<'a> {
    /// A file that can be read any number of times.
    pub fn again(read: &'a mut dyn FnMut() -> Result<Vec<u8>>) -> Original<'a> {
        Original {
            held: None,
            again: Some(read),
        }
    }

    /// The same, with the bytes of a first reading that is already done.
    pub fn begun(self, onnx: Vec<u8>) -> Original<'a> {
        let held = Some(onnx.into());
        Original { held, ..self }
    }

    /// Its bytes, which stay in memory.
    ///
    /// # Errors
    /// Those of reading them.
    pub(super) fn look(&mut self) -> Result<&[u8]> {
        if let (None, Some(read)) = (&self.held, &mut self.again) {
            self.held = Some(read()?.into());
        }
        Ok(self.held.as_deref().unwrap_or_default())
    }

    /// Its bytes, which do not stay in memory if they can be read again.
    ///
    /// # Errors
    /// Those of reading them.
    pub(super) fn take(&mut self) -> Result<Cow<'_, [u8]>> {
        self.look()?;
        Ok(match self.again {
            Some(_) => self.held.take().unwrap_or_default(),
            None => Cow::Borrowed(self.held.as_deref().unwrap_or_default()),
        })
    }
}

impl<'a, Bytes: Into<Cow<'a, [u8]>>> From<Bytes> for Original<'a> {
    fn from(onnx: Bytes) -> Self {
        Original {
            held: Some(onnx.into()),
            again: None,
        }
    }
}
