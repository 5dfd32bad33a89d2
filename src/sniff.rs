//! bytes of a downloaded file → what is wrong with them, before they are parsed.

use crate::error::{Error, Result};

/// Beginnings of files that are served in place of a model, and what to do about each.
const FOREIGN: [(&[u8], &str); 7] = [
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file itself; run `git lfs pull`, or host the file where LFS is resolved",
    ),
    (
        b"\x1f\x8b",
        "gzip data; unpack it, or let the server send `Content-Encoding: gzip`",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "Zstandard data; unpack it, or let the server send `Content-Encoding: zstd`",
    ),
    (
        b"PK\x03\x04",
        "a ZIP archive; unpack it, or pack the model in it with `whylens pack`",
    ),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"%PDF", "a PDF document"),
];

const BY_TORCH: &str = "export it to ONNX from Python: `torch.onnx.export(model.eval(), torch.zeros(1, 3, 224, 224), \
    \"model.onnx\")`, with the size of its photos";
const BY_KERAS: &str = "export it to ONNX from Python: `keras.models.load_model(FILE).export(\"model.onnx\", \
    format=\"onnx\")`, which needs the package tf2onnx";
const BY_TF2ONNX: &str = "convert it to ONNX: `python -m tf2onnx.convert --tflite FILE --output model.onnx`, from the \
    package tf2onnx";
const BY_OPTIMUM: &str = "export the whole model to ONNX, for one of Hugging Face `optimum-cli export onnx --model \
    ORG/NAME FOLDER`";

/// The model of another program, and how to make an ONNX file of it.
pub fn other_model(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let start = &bytes[..bytes.len().min(HEAD)];
    let names = |name: &[u8]| start.windows(name.len()).any(|part| part == name);
    Some(match start {
        [0x89, b'H', b'D', b'F', ..] => ("a model of Keras in HDF5", BY_KERAS),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => ("a model of TensorFlow Lite", BY_TF2ONNX),
        // A zip by `torch.save`, or its older pickles.
        [b'P', b'K', 3, 4, ..] if names(b"/data.pkl") => ("a model of PyTorch", BY_TORCH),
        [0x80, 2..=5, ..] => ("a Python pickle, as PyTorch writes models", BY_TORCH),
        [b'P', b'K', 3, 4, ..] if names(b"metadata.json") && names(b"keras") => {
            ("a model of Keras", BY_KERAS)
        }
        // The length of the JSON that follows.
        [_, _, _, _, 0, 0, 0, 0, b'{', b'"', ..] => {
            ("weights in safetensors, without the network", BY_OPTIMUM)
        }
        _ => return None,
    })
}

/// How many bytes [`head`] looks at.
pub const HEAD: usize = 512;

/// Refuses a file by how it begins; `what` names it in the message.
///
/// # Errors
/// [`Error::NotAModel`] for a web page, a Git LFS pointer, JSON, compressed data and the formats of
/// other programs.
pub fn head(bytes: &[u8], what: &str) -> Result<()> {
    page(bytes, what)?;
    if let Some((found, advice)) = other_model(bytes) {
        return Err(Error::NotAModel(format!("{what} is {found}; {advice}")));
    }
    let start = start(bytes);
    let found = if matches!(start.first(), Some(b'{' | b'[')) {
        Some(format!(
            "JSON: {}",
            String::from_utf8_lossy(&start[..start.len().min(60)])
        ))
    } else {
        FOREIGN
            .iter()
            .find(|(magic, _)| bytes.starts_with(magic))
            .map(|(_, found)| found.to_string())
    };
    found.map_or(Ok(()), |found| {
        Err(Error::NotAModel(format!("{what} is {found}")))
    })
}

/// Refuses a web page in place of any file of a model folder.
///
/// # Errors
/// [`Error::NotAModel`].
pub fn page(bytes: &[u8], what: &str) -> Result<()> {
    let start: Vec<u8> = start(bytes)
        .iter()
        .take(14)
        .map(u8::to_ascii_lowercase)
        .collect();
    let page = [
        b"<!doctype".as_slice(),
        b"<html",
        b"<head",
        b"<?xml",
        b"<!--",
    ]
    .iter()
    .any(|tag| start.starts_with(tag));
    if page {
        return Err(Error::NotAModel(format!(
            "{what} is a web page: the server sends a page in place of the file; check the address and that the \
            file was uploaded"
        )));
    }
    Ok(())
}

/// The bytes without a leading byte order mark and white space.
fn start(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes[..bytes.len().min(HEAD)].trim_ascii_start()
}

/// Checks the size and the SHA-256 of a file, given as 64 hexadecimal digits, against what `model.json`
/// says about it.
///
/// # Errors
/// [`Error::Truncated`] and [`Error::Integrity`].
pub fn identity(actual: (u64, &str), expected: (u64, &str), what: &str) -> Result<()> {
    let (bytes, wanted) = (actual.0, expected.0);
    if bytes < wanted {
        return Err(truncated(bytes, wanted, what));
    }
    if bytes > wanted {
        return Err(Error::Integrity(format!(
            "{what} has {bytes} bytes, model.json says {wanted}: the two are from different versions; copy both again"
        )));
    }
    let (digest, wanted) = (actual.1, expected.1);
    if digest != wanted {
        return Err(Error::Integrity(format!(
            "{what} has the SHA-256 {digest}, model.json says {wanted}: the two are from different versions, or \
            the file is damaged; copy both again"
        )));
    }
    Ok(())
}

/// Why a file with fewer bytes than `model.json` says is refused.
pub fn truncated(bytes: u64, wanted: u64, what: &str) -> Error {
    Error::Truncated(format!(
        "{what} has {bytes} bytes, model.json says {wanted}; copy the file again"
    ))
}

/// Walks an ONNX file without decoding it.
///
/// Field numbers are those of `onnx.proto`: `ModelProto.graph` 7, `GraphProto.node` 1 and
/// `.initializer` 5, `NodeProto.attribute` 5, `AttributeProto.t` 5, `.g` 6, `TensorProto.name` 8,
/// `.external_data` 13, `.data_location` 14.
///
/// # Errors
/// [`Error::NotAModel`] when it is not a protobuf with a graph, [`Error::Truncated`] when a field reaches
/// past the end, [`Error::ExternalData`] when weights are kept in another file.
pub fn onnx(bytes: &[u8], what: &str) -> Result<()> {
    if bytes.is_empty() {
        return Err(Error::Truncated(format!(
            "{what} is empty; upload it again"
        )));
    }
    let mut graph = false;
    for field in fields(bytes) {
        match field.map_err(|broken| broken.error(what))? {
            (7, Value::Bytes(inner)) => {
                graph = true;
                walk(inner, Message::Graph, what, 0)?;
            }
            (number, _) if number > 25 && !graph => return Err(Broken::Malformed.error(what)),
            _ => {}
        }
    }
    if !graph {
        return Err(Error::NotAModel(format!(
            "{what} is not an ONNX model: it holds no graph"
        )));
    }
    Ok(())
}

/// The messages of `onnx.proto` on the way to a tensor.
#[derive(Clone, Copy)]
enum Message {
    Graph,
    Node,
    Attribute,
    Tensor,
}

/// Graphs nest in attributes (`If`, `Loop`); no sound file nests deeper.
const DEEPEST: usize = 64;

fn walk(bytes: &[u8], message: Message, what: &str, depth: usize) -> Result<()> {
    if depth > DEEPEST {
        return Err(Broken::Malformed.error(what));
    }
    let (mut external, mut place) = (false, None);
    for field in fields(bytes) {
        let (number, value) = field.map_err(|broken| broken.error(what))?;
        let (next, inner) = match (message, number, value) {
            (Message::Graph, 1, Value::Bytes(inner)) => (Message::Node, inner),
            (Message::Graph, 5, Value::Bytes(inner)) => (Message::Tensor, inner),
            (Message::Node, 5, Value::Bytes(inner)) => (Message::Attribute, inner),
            (Message::Attribute, 5, Value::Bytes(inner)) => (Message::Tensor, inner),
            (Message::Attribute, 6, Value::Bytes(inner)) => (Message::Graph, inner),
            (Message::Tensor, 13, Value::Bytes(inner)) => {
                place = place.or_else(|| location(inner));
                external |= place.is_some();
                continue;
            }
            (Message::Tensor, 14, Value::Number(1)) => {
                external = true;
                continue;
            }
            _ => continue,
        };
        walk(inner, next, what, depth + 1)?;
    }
    if external {
        let place = place.unwrap_or_else(|| "another file".into());
        return Err(Error::ExternalData(format!(
            "{what} keeps its weights in {place}; save the model as one file (`onnx.save(model, path, \
            save_as_external_data=False)`) or pack it with `whylens pack`"
        )));
    }
    Ok(())
}

/// The value of the key `location` in a `StringStringEntryProto`.
fn location(entry: &[u8]) -> Option<String> {
    let text = |wanted| {
        fields(entry).flatten().find_map(|field| match field {
            (number, Value::Bytes(text)) if number == wanted => {
                Some(String::from_utf8_lossy(text).into_owned())
            }
            _ => None,
        })
    };
    (text(1)? == "location").then(|| text(2))?
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

#[derive(Clone, Copy)]
enum Broken {
    Malformed,
    Short,
}

impl Broken {
    fn error(self, what: &str) -> Error {
        match self {
            Broken::Malformed => Error::NotAModel(format!("{what} is not an ONNX model")),
            Broken::Short => Error::Truncated(format!(
                "{what} ends in the middle of the model; upload it again"
            )),
        }
    }
}

/// The fields of a protobuf message; ends after the first that is broken.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = std::result::Result<(u64, Value<'_>), Broken>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = field(&mut bytes);
        if field.is_err() {
            bytes = &[];
        }
        Some(field)
    })
}

fn field<'a>(bytes: &mut &'a [u8]) -> std::result::Result<(u64, Value<'a>), Broken> {
    let tag = varint(bytes)?;
    let value = match tag & 7 {
        0 => Value::Number(varint(bytes)?),
        1 => take(bytes, 8).map(|_| Value::Fixed)?,
        2 => {
            let length = varint(bytes)?;
            Value::Bytes(take(bytes, length)?)
        }
        5 => take(bytes, 4).map(|_| Value::Fixed)?,
        _ => return Err(Broken::Malformed),
    };
    match tag >> 3 {
        0 => Err(Broken::Malformed),
        number => Ok((number, value)),
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> std::result::Result<&'a [u8], Broken> {
    let length = usize::try_from(length).map_err(|_| Broken::Short)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Broken::Short)?;
    *bytes = rest;
    Ok(taken)
}

fn varint(bytes: &mut &[u8]) -> std::result::Result<u64, Broken> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Broken::Short)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Broken::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length-delimited field.
    fn nested(number: u8, inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = inner.len();
        while length > 127 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(inner);
        bytes
    }

    fn number(field: u8, value: u8) -> Vec<u8> {
        vec![field << 3, value]
    }

    fn model(tensor: &[u8]) -> Vec<u8> {
        [number(1, 8), nested(7, &nested(5, tensor))].concat()
    }

    fn external() -> Vec<u8> {
        let entry = [nested(1, b"location"), nested(2, b"weights.bin")].concat();
        [nested(8, b"w"), nested(13, &entry), number(14, 1)].concat()
    }

    #[track_caller]
    fn refused(result: Result<()>, code: &str, text: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }

    #[test]
    fn what_servers_send_in_place_of_a_model_is_named() {
        for (bytes, text) in [
            (
                "\u{feff}\n <!DOCTYPE html><title>404</title>".as_bytes(),
                "web page",
            ),
            (b"<html>", "web page"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid",
                "git lfs pull",
            ),
            (b"{\"error\": \"not found\"}", "JSON: {\"error\""),
            (b"\x1f\x8b\x08", "gzip data"),
            (b"PK\x03\x04", "a ZIP archive"),
            (
                b"PK\x03\x04..archive/data.pkl",
                "a model of PyTorch; export it to ONNX",
            ),
            (b"\x80\x02}q", "PyTorch writes models; export it to ONNX"),
            (
                b"PK\x03\x04..metadata.json{\"keras_version\"",
                "a model of Keras; export",
            ),
            (b"\x89HDF\r\n", "a model of Keras in HDF5; export"),
            (
                b"\x40\0\0\0\0\0\0\0{\"__metadata__\"",
                "safetensors, without the network; export",
            ),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite; convert it"),
        ] {
            refused(head(bytes, "model.onnx"), "not-a-model", text);
        }
        for bytes in [b"".as_slice(), b"\x08\x08", &model(b"")] {
            head(bytes, "model.onnx").unwrap();
        }
    }

    #[test]
    fn labels_that_look_odd_are_no_page() {
        for bytes in [b"".as_slice(), b"{brace}", b"<3 heart", b"cat\ndog"] {
            page(bytes, "labels.txt").unwrap();
        }
    }

    #[test]
    fn size_and_digest_are_compared() {
        identity((3, "ab"), (3, "ab"), "m").unwrap();
        refused(
            identity((2, "ab"), (3, "ab"), "m"),
            "truncated",
            "has 2 bytes",
        );
        refused(
            identity((4, "ab"), (3, "ab"), "m"),
            "integrity",
            "has 4 bytes",
        );
        refused(
            identity((3, "ac"), (3, "ab"), "m"),
            "integrity",
            "SHA-256 ac",
        );
    }

    #[test]
    fn weights_in_another_file_are_found_at_every_depth() {
        refused(
            onnx(&model(&external()), "m"),
            "external-data",
            "in weights.bin",
        );
        let attribute = nested(5, &external());
        let node = nested(1, &nested(5, &attribute));
        refused(onnx(&nested(7, &node), "m"), "external-data", "weights.bin");
        let branch = nested(6, &nested(5, &external()));
        let node = nested(1, &nested(5, &branch));
        refused(onnx(&nested(7, &node), "m"), "external-data", "weights.bin");
        onnx(&model(&[nested(8, b"w"), number(14, 0)].concat()), "m").unwrap();
    }

    #[test]
    fn every_cut_of_a_model_is_refused() {
        let whole = model(&[nested(8, b"w"), nested(9, &[1; 300])].concat());
        onnx(&whole, "m").unwrap();
        for length in 0..whole.len() {
            let error = onnx(&whole[..length], "m").unwrap_err();
            assert!(
                matches!(error, Error::Truncated(_)) || length == 2,
                "{length}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_protobuf_is_refused() {
        for bytes in [
            b"not a model at all".as_slice(),
            &[0; 100],
            &[0xff; 100],
            &number(1, 8),
            &nested(7, &[0xff; 12]),
        ] {
            let error = onnx(bytes, "m").unwrap_err();
            assert!(
                matches!(error, Error::NotAModel(_) | Error::Truncated(_)),
                "{error}"
            );
        }
    }

    #[test]
    fn graphs_nested_without_end_are_refused() {
        let mut graph = vec![];
        for _ in 0..200 {
            graph = nested(1, &nested(5, &nested(6, &graph)));
        }
        refused(
            onnx(&nested(7, &graph), "m"),
            "not-a-model",
            "not an ONNX model",
        );
    }
}
