//! lines of pixels → shorter or longer lines: each pixel a sum of pixels, with fixed-point weights.

use super::weights::{CHANNELS, HALF, Weights, to_u8};

/// Resizes every line of `rgb`, which is `stride` bytes long, to as many pixels as there are weights.
pub fn columns(rgb: &[u8], stride: usize, weights: &[Weights]) -> Vec<u8> {
    #[cfg(target_arch = "wasm32")]
    if let Some(out) = pairs::columns(rgb, stride, weights) {
        return out;
    }
    // Each weight three times: a run of pixels is then multiplied regardless of channels, in lanes that are
    // separated only at the end.
    const LANES: usize = 4 * CHANNELS;
    let tripled: Vec<(usize, Vec<i32>)> = weights
        .iter()
        .map(|w| {
            let values = w.values.iter().flat_map(|&v| [v; CHANNELS]).collect();
            (w.start * CHANNELS, values)
        })
        .collect();
    let mut out = Vec::with_capacity(rgb.len() / stride * weights.len() * CHANNELS);
    for row in rgb.chunks_exact(stride) {
        for (start, weights) in &tripled {
            let run = &row[*start..start + weights.len()];
            let mut lanes = [0i32; LANES];
            let (runs, weight_runs) = (run.chunks_exact(LANES), weights.chunks_exact(LANES));
            for (&value, (&weight, lane)) in runs
                .remainder()
                .iter()
                .zip(weight_runs.remainder().iter().zip(&mut lanes))
            {
                *lane = i32::from(value) * weight;
            }
            for (values, weights) in runs.zip(weight_runs) {
                for ((lane, &value), &weight) in lanes.iter_mut().zip(values).zip(weights) {
                    *lane += i32::from(value) * weight;
                }
            }
            for c in 0..CHANNELS {
                let sum: i32 = lanes[c..].iter().step_by(CHANNELS).sum();
                out.push(to_u8(HALF + sum));
            }
        }
    }
    out
}

/// Uses the instruction that multiplies eight pairs of 16-bit numbers and adds neighbours.
#[cfg(target_arch = "wasm32")]
mod pairs {
    use core::arch::wasm32::{
        i8x16_swizzle, i32x4_add, i32x4_dot_i16x8, i32x4_extract_lane, i32x4_shl, i32x4_splat,
        u8x16, u64x2, v128,
    };

    use super::{CHANNELS, HALF, Weights, to_u8};

    /// Pixels multiplied at a time.
    const RUN: usize = 4;

    /// A weight of 23 bits is `high << CUT` + `low`; then both have at most 16 bits.
    const CUT: u32 = 12;

    /// A run of weights: high and low parts of the first two, then those of the last two.
    type Run = [i32; 4];

    struct Column {
        start: usize,
        runs: Vec<Run>,
    }

    /// None where a line is shorter than a column's runs.
    pub fn columns(rgb: &[u8], stride: usize, weights: &[Weights]) -> Option<Vec<u8>> {
        let length = stride / CHANNELS;
        let columns: Vec<Column> = weights
            .iter()
            .map(|weights| Column::new(weights, length))
            .collect::<Option<_>>()?;
        let line = columns.len() * CHANNELS;
        let mut out = vec![0; rgb.len() / stride * line];
        let (lines, outs) = (rgb.chunks(2 * stride), out.chunks_mut(2 * line));
        for (lines, out) in lines.zip(outs) {
            // Two lines at a time: the weights are read once for both.
            let (first, second) = lines.split_at(stride);
            let (first_out, second_out) = out.split_at_mut(line);
            if second.is_empty() {
                narrow([first], [first_out], &columns);
            } else {
                narrow([first, second], [first_out, second_out], &columns);
            }
        }
        Some(out)
    }

    impl Column {
        fn new(weights: &Weights, length: usize) -> Option<Column> {
            let runs = weights.values.len().div_ceil(RUN);
            // The last run must not reach beyond the end of the line.
            let start = weights.start.min(length.checked_sub(runs * RUN)?);
            let mut values = vec![0; weights.start - start];
            values.extend(&weights.values);
            values.resize(runs * RUN, 0);
            let high = |weight: i32| (weight + (1 << (CUT - 1))) >> CUT;
            let low = |weight: i32| weight - (high(weight) << CUT);
            let pair = |a: i32, b: i32| (a & 0xffff) | (b << 16);
            let runs = values.chunks_exact(RUN).map(|w| {
                [
                    pair(high(w[0]), high(w[1])),
                    pair(low(w[0]), low(w[1])),
                    pair(high(w[2]), high(w[3])),
                    pair(low(w[2]), low(w[3])),
                ]
            });
            Some(Column {
                start: start * CHANNELS,
                runs: runs.collect(),
            })
        }
    }

    fn narrow<const N: usize>(lines: [&[u8]; N], outs: [&mut [u8]; N], columns: &[Column]) {
        // Bytes of a run of pixels → red, red, green, green, blue, blue of two of them, as 16 bits.
        const NONE: u8 = 255;
        let first = u8x16(
            0, NONE, 3, NONE, 1, NONE, 4, NONE, 2, NONE, 5, NONE, NONE, NONE, NONE, NONE,
        );
        let second = u8x16(
            6, NONE, 9, NONE, 7, NONE, 10, NONE, 8, NONE, 11, NONE, NONE, NONE, NONE, NONE,
        );
        for (at, Column { start, runs }) in columns.iter().enumerate() {
            let (mut high, mut low) = ([i32x4_splat(0); N], [i32x4_splat(0); N]);
            let bytes = runs.len() * RUN * CHANNELS;
            let lines = lines.map(|line| &line[*start..start + bytes]);
            for (index, &[high_first, low_first, high_second, low_second]) in
                runs.iter().enumerate()
            {
                let (high_first, low_first) = (i32x4_splat(high_first), i32x4_splat(low_first));
                let (high_second, low_second) = (i32x4_splat(high_second), i32x4_splat(low_second));
                for (line, (high, low)) in lines.iter().zip(high.iter_mut().zip(&mut low)) {
                    let pixels = load(line, index * RUN * CHANNELS);
                    let (a, b) = (i8x16_swizzle(pixels, first), i8x16_swizzle(pixels, second));
                    *high = i32x4_add(*high, i32x4_dot_i16x8(a, high_first));
                    *low = i32x4_add(*low, i32x4_dot_i16x8(a, low_first));
                    *high = i32x4_add(*high, i32x4_dot_i16x8(b, high_second));
                    *low = i32x4_add(*low, i32x4_dot_i16x8(b, low_second));
                }
            }
            for n in 0..N {
                let sum = i32x4_add(
                    i32x4_shl(high[n], CUT),
                    i32x4_add(low[n], i32x4_splat(HALF)),
                );
                let out = &mut outs[n][at * CHANNELS..][..CHANNELS];
                out[0] = to_u8(i32x4_extract_lane::<0>(sum));
                out[1] = to_u8(i32x4_extract_lane::<1>(sum));
                out[2] = to_u8(i32x4_extract_lane::<2>(sum));
            }
        }
    }

    /// Twelve bytes, and four zeros.
    fn load(bytes: &[u8], at: usize) -> v128 {
        let run = &bytes[at..at + RUN * CHANNELS];
        let low = run.first_chunk().map_or(0, |low| u64::from_le_bytes(*low));
        let high = run.last_chunk().map_or(0, |high| u32::from_le_bytes(*high));
        u64x2(low, u64::from(high))
    }
}
