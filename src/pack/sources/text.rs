//! bytes of a text file → its text: UTF-8, UTF-16 or Windows-1252.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// Windows-1252 from 0x80 to 0x9F, where it is read; above, and in Latin-1 everywhere, a byte is its own character
/// (<https://encoding.spec.whatwg.org/#windows-1252>).
const WESTERN: [char; 32] = [
    '€', '\0', '\0', '\0', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘',
    '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

/// The text of a file in UTF-8 or UTF-16, each with or without a byte order mark, or in Windows-1252.
///
/// # Errors
/// [`Error::BadManifest`] if it is in none of them.
pub(super) fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<Cow<'a, str>> {
    let found = if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        utf16(rest, u16::from_le_bytes)
    } else if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        utf16(rest, u16::from_be_bytes)
    } else if bytes.contains(&0) {
        // The zeros of UTF-16 are the first bytes of its line feeds and Latin letters, or the second ones.
        let zeros = |at: usize| {
            bytes
                .iter()
                .skip(at)
                .step_by(2)
                .filter(|&&byte| byte == 0)
                .count()
        };
        match zeros(0) > zeros(1) {
            true => utf16(bytes, u16::from_be_bytes),
            false => utf16(bytes, u16::from_le_bytes),
        }
    } else {
        let rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        match std::str::from_utf8(rest) {
            Ok(text) => Some(Cow::Borrowed(text)),
            Err(_) => western(rest),
        }
    };
    found.ok_or_else(|| {
        Error::BadManifest(format!(
            "{name} is not text in UTF-8, UTF-16 or Windows-1252; save it as UTF-8"
        ))
    })
}

fn utf16<'a>(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Cow<'a, str>> {
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    let text: String = char::decode_utf16(pairs.iter().map(|&pair| unit(pair)))
        .collect::<std::result::Result<_, _>>()
        .ok()?;
    (!text.contains('\0')).then_some(Cow::Owned(text))
}

/// Words of Western languages have no three accented letters in a row, and labels no `‚` and `ƒ`. Words in other
/// encodings (Cyrillic, Greek, Chinese; the last two are in those of Japanese) have, and would be read as nonsense.
fn western<'a>(bytes: &[u8]) -> Option<Cow<'a, str>> {
    if bytes
        .windows(3)
        .any(|three| !three.is_ascii() && three.iter().all(|byte| *byte >= 0x80))
    {
        return None;
    }
    let letters = bytes.iter().map(|&byte| match byte {
        0x80..=0x9f => WESTERN[usize::from(byte - 0x80)],
        _ => char::from(byte),
    });
    let text: String = letters.collect();
    (!text.contains('\0')).then_some(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: &str = "café\nœuf à la coque\nGröße “XL”\n";

    #[test]
    fn encodings_are_told_apart() {
        let units: Vec<u16> = LABELS.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        // Python: `LABELS.encode('cp1252')`
        let western = b"caf\xe9\n\x9cuf \xe0 la coque\nGr\xf6\xdfe \x93XL\x94\n".to_vec();
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for bytes in [
            LABELS.as_bytes().to_vec(),
            marked(b"\xef\xbb\xbf", LABELS.as_bytes()),
            marked(b"\xff\xfe", &little),
            marked(b"\xfe\xff", &big),
            little,
            big,
            western,
        ] {
            assert_eq!(text("labels.txt", &bytes).unwrap(), LABELS);
        }
        let chinese = "猫\n狗\n";
        let wide: Vec<u8> = chinese.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text("labels.txt", &wide).unwrap(), chinese);
    }

    #[test]
    fn windows_1252_is_read_as_python_reads_it() {
        // Python: `bytes(b for b in range(128, 256) if b not in (129, 130, 131, 141, 143, 144, 157)).decode('cp1252')`
        let expected = "€„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ";
        let bytes =
            (128..=255u8).filter(|byte| ![129, 130, 131, 141, 143, 144, 157].contains(byte));
        for (byte, letter) in bytes.zip(expected.chars()) {
            assert_eq!(
                text("labels.txt", &[b'a', byte, b'\n']).unwrap(),
                format!("a{letter}\n")
            );
        }
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        // Python: `'кошка\n'.encode('cp1251')`, `'猫咪\n'.encode('gbk')`, `'ネコ\n'.encode('shift_jis')`
        for bytes in [
            &b"\xea\xee\xf8\xea\xe0\n"[..],
            b"\xc3\xa8\xdf\xe4\n",
            b"\x83l\x83R\n",
            b"\xff\xfea",
            b"\xff\xfe\x00\xd8a\x00",
            b"a\0\0\0\n\0",
        ] {
            assert_eq!(
                text("labels.txt", bytes).unwrap_err().code(),
                "bad-manifest",
                "{bytes:?}"
            );
        }
    }
}
