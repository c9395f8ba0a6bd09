//! The stored form of an event: a Zstandard frame (RFC 8878) that a dictionary in this program makes short. The
//! frame names the dictionary. Events of earlier releases are stored as text.
//!
//! A dictionary never changes and stays in the program, because the events that name it stay in stores.
//! `dictionary/train.sh` makes another one.

use std::{fmt, sync::LazyLock};

use parking_lot::Mutex;
use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
    zstd_safe::get_dict_id_from_frame,
};

use super::error::garbled;
use crate::ports::{AppendError, Batch, StoredEvent};

/// The dictionary that compresses new events, with the id 1.
const DICTIONARY: &[u8] = include_bytes!("dictionary/1.zdict");
/// The id of that dictionary in a frame.
const DICTIONARY_ID: u32 = 1;
/// Higher levels make events of this size hardly shorter.
const LEVEL: i32 = 3;
/// The maximum size of an event's text, which an export can contain. A frame that holds more is not
/// decompressed further.
const MAX_TEXT: usize = 65_535;
/// What stands for an event that cannot be decompressed. It is not the text of any event, so its hash is not
/// that of any leaf.
const UNREADABLE: &str = "(not a compressed event)";

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// Compresses events.
pub(super) struct Packer(Mutex<Option<Compressor<'static>>>);

/// Decompresses events. It has one buffer for all of them.
pub(super) struct Unpacker {
    decompressor: Option<Decompressor<'static>>,
    buffer: Vec<u8>,
}

// === impl Packer ===

impl Packer {
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The frames of the batch's events, in order.
    ///
    /// # Errors
    ///
    /// There is not enough memory.
    pub(super) fn pack(&self, batch: &Batch) -> Result<Vec<Vec<u8>>, AppendError> {
        let failed = |source| AppendError::NotWritten(garbled(source));
        let mut compressor = self.0.lock();
        let compressor = match &mut *compressor {
            Some(compressor) => compressor,
            empty @ None => empty.insert(Compressor::with_prepared_dictionary(&ENCODER).map_err(failed)?),
        };
        let frames = batch.events.iter().map(|event| compressor.compress(batch.body(event)));
        frames.collect::<Result<_, _>>().map_err(failed)
    }
}

// === impl Unpacker ===

impl Unpacker {
    pub(super) fn new() -> Self {
        Self { decompressor: None, buffer: Vec::with_capacity(MAX_TEXT) }
    }

    /// The text of a row with these columns. A row that no release writes has a text that is not an event.
    pub(super) fn text(&mut self, body: &[u8], packed: Option<&[u8]>) -> String {
        match packed {
            None => StoredEvent::text_of(body),
            Some(frame) if body.is_empty() => self.unpack(frame).unwrap_or_else(|| UNREADABLE.to_owned()),
            Some(_two) => UNREADABLE.to_owned(),
        }
    }

    fn unpack(&mut self, frame: &[u8]) -> Option<String> {
        if get_dict_id_from_frame(frame)?.get() != DICTIONARY_ID {
            return None;
        }
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            empty @ None => empty.insert(Decompressor::with_prepared_dictionary(&DECODER).ok()?),
        };
        decompressor.decompress_to_buffer(frame, &mut self.buffer).ok()?;
        Some(StoredEvent::text_of(&self.buffer))
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

#[cfg(test)]
mod tests;
