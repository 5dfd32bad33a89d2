//! `.npy` files (version 1.0, little-endian) → their values, on any target.

fn body(file: &[u8]) -> &[u8] {
    assert!(file.starts_with(b"\x93NUMPY\x01\x00"), "not a .npy file");
    let header = usize::from(u16::from_le_bytes([file[8], file[9]]));
    &file[10 + header..]
}

pub fn floats(file: &[u8]) -> Vec<f32> {
    let (values, rest) = body(file).as_chunks();
    assert!(rest.is_empty());
    values
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

pub fn bytes(file: &[u8]) -> &[u8] {
    body(file)
}
