//! `.npy` ⇄ numbers.

use std::io::Read;

use npyz::WriterBuilder;
use whylens::{Error, Tensor};

/// Most bytes of a header.
const LONGEST_HEADER: u32 = 1 << 16;

/// Reads a tensor of float32 in C order.
pub fn read(file: &mut dyn Read) -> Result<Tensor, Error> {
    let refused = |what: &str| {
        Error::BadOption(format!(
            "the tensor {what}, expected a .npy file of float32 in C order"
        ))
    };
    // npyz allocates as much as the header claims to take.
    let mut start = [0; 12];
    file.read_exact(&mut start)
        .map_err(|_| refused("is not a .npy file"))?;
    let length = match start[6] {
        1 => u32::from(u16::from_le_bytes([start[8], start[9]])),
        _ => u32::from_le_bytes([start[8], start[9], start[10], start[11]]),
    };
    if length > LONGEST_HEADER {
        return Err(refused("is not a .npy file"));
    }
    let file = start.as_slice().chain(file);
    let file = npyz::NpyFile::new(file).map_err(|_| refused("is not a .npy file"))?;
    if file.order() != npyz::Order::C {
        return Err(refused("is in Fortran order"));
    }
    let shape = file.shape().iter().map(|&n| n as usize).collect();
    let values = file
        .into_vec::<f32>()
        .map_err(|_| refused("does not hold float32, or is cut short"))?;
    Ok(Tensor { shape, values })
}

/// The file of a tensor of float32.
pub fn write(values: &[f32], shape: &[usize]) -> std::io::Result<Vec<u8>> {
    let shape: Vec<u64> = shape.iter().map(|&length| length as u64).collect();
    let mut file = Vec::new();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&shape)
        .writer(&mut file)
        .begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()?;
    Ok(file)
}
