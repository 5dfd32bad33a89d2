//! samples of a strip or tile → RGB, over white.

use super::super::{ink_on, over};
use super::directory::Order;
use super::kind::{Alpha, Colours, Kind, YCbCr};

/// Where in the picture a piece lies, in pixels.
pub struct Area {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
    /// Columns of the piece, including those past the picture's edge.
    pub stored: usize,
}

/// Puts a piece, read as a whole or plane by plane, into the picture of `columns` pixels a row.
pub fn lay(
    planes: Vec<Vec<u8>>,
    kind: &Kind,
    order: Order,
    area: &Area,
    rgb: &mut [u8],
    columns: usize,
) {
    let number = |bytes: &[u8]| order.number(bytes);
    match kind.bits {
        1 | 2 | 4 => {
            let spread: Vec<_> = planes
                .iter()
                .map(|plane| spread(plane, kind, area))
                .collect();
            lay_samples(&spread, kind, area, rgb, columns);
        }
        8 => {
            let planes = match &kind.colours {
                Colours::YCbCr(ycbcr) if ycbcr.shared != (1, 1) => {
                    vec![apart(&planes[0], ycbcr, area)]
                }
                _ => planes,
            };
            lay_samples(&planes, kind, area, rgb, columns);
        }
        16 => {
            let words = |plane: &Vec<u8>| {
                plane
                    .chunks_exact(2)
                    .map(|value| number(value) as u16)
                    .collect()
            };
            let planes: Vec<Vec<u16>> = planes.iter().map(words).collect();
            lay_samples(&planes, kind, area, rgb, columns);
        }
        _ => {
            let floats = |plane: &Vec<u8>| {
                let values = plane.chunks_exact(4);
                values
                    .map(|value| f32::from_bits(number(value) as u32))
                    .collect()
            };
            let planes: Vec<Vec<f32>> = planes.iter().map(floats).collect();
            lay_samples(&planes, kind, area, rgb, columns);
        }
    }
}

/// Values of less than eight bits → levels, or places in the palette; each row begins a byte.
fn spread(bytes: &[u8], kind: &Kind, area: &Area) -> Vec<u8> {
    let most = (1u8 << kind.bits) - 1;
    let factor = match kind.colours {
        Colours::Palette(_) => 1,
        _ => 255 / most,
    };
    let rows = bytes.chunks_exact((area.stored * kind.bits).div_ceil(8));
    rows.flat_map(|row| {
        (0..area.stored).map(|column| {
            let bit = column * kind.bits;
            (row[bit / 8] >> (8 - kind.bits - bit % 8) & most) * factor
        })
    })
    .collect()
}

/// Blocks of lumas and the chroma that they share → luma and chroma of each pixel.
fn apart(bytes: &[u8], YCbCr { shared, .. }: &YCbCr, area: &Area) -> Vec<u8> {
    let (across, down) = *shared;
    let mut pixels = vec![0; area.stored * area.height * 3];
    for (i, block) in bytes.chunks_exact(across * down + 2).enumerate() {
        let blocks = area.stored.div_ceil(across);
        let (left, top) = (i % blocks * across, i / blocks * down);
        let (lumas, chroma) = block.split_at(across * down);
        for (j, &luma) in lumas.iter().enumerate() {
            let (x, y) = (left + j % across, top + j / across);
            if x < area.stored && y < area.height {
                let at = (y * area.stored + x) * 3;
                pixels[at..at + 3].copy_from_slice(&[luma, chroma[0], chroma[1]]);
            }
        }
    }
    pixels
}

fn lay_samples<T: Sample>(
    planes: &[Vec<T>],
    kind: &Kind,
    area: &Area,
    rgb: &mut [u8],
    columns: usize,
) {
    let step = kind.together();
    let channels: Vec<&[T]> = match kind.planar {
        true => planes.iter().map(Vec::as_slice).collect(),
        false => kind.channels().map(|at| &planes[0][at..]).collect(),
    };
    let (own, alpha) = (kind.own(), kind.alpha.map(|(_, alpha)| alpha));
    let to_rgb = match &kind.colours {
        Colours::YCbCr(ycbcr) => Some(ToRgb::of(ycbcr)),
        _ => None,
    };
    for row in 0..area.height {
        let start = ((area.y + row) * columns + area.x) * 3;
        let pixels = rgb[start..start + area.width * 3].chunks_exact_mut(3);
        for (column, pixel) in pixels.enumerate() {
            let at = (row * area.stored + column) * step;
            let level = |c: usize| match alpha {
                Some(Alpha::Associated) => channels[c][at].over_white(channels[own][at]),
                Some(Alpha::Straight) => over(channels[c][at].level(), channels[own][at].level()),
                None => channels[c][at].level(),
            };
            match &kind.colours {
                Colours::Grey => pixel.fill(level(0)),
                Colours::Inverse => pixel.fill(255 - level(0)),
                Colours::Rgb => (0..3).for_each(|c| pixel[c] = level(c)),
                Colours::Cmyk => {
                    let paper = 255 - level(3);
                    (0..3).for_each(|c| pixel[c] = ink_on(paper, level(c)));
                }
                Colours::Palette(colours) => {
                    let colour = colours[usize::from(channels[0][at].level())];
                    let over = |level: u8| match alpha {
                        Some(Alpha::Associated) => level.over_white(channels[own][at].level()),
                        Some(Alpha::Straight) => over(level, channels[own][at].level()),
                        None => level,
                    };
                    (0..3).for_each(|c| pixel[c] = over(colour[c]));
                }
                Colours::YCbCr(_) => {
                    if let Some(to_rgb) = &to_rgb {
                        pixel.copy_from_slice(&to_rgb.pixel([level(0), level(1), level(2)]));
                    }
                }
            }
        }
    }
}

/// YCbCr → RGB as libtiff computes it: in whole numbers of 1/65536.
pub struct ToRgb {
    luma: [i32; 256],
    /// What blue-difference and red-difference chroma add to red, green and blue.
    chroma: [[i32; 256]; 4],
}

impl ToRgb {
    pub fn of(YCbCr { luma, range, .. }: &YCbCr) -> ToRgb {
        let fixed = |factor: f32| (f64::from(factor.clamp(0.0, 2.0)) * 65536.0 + 0.5) as i32;
        let [red, green, blue] = *luma;
        let (to_red, to_blue) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let factors = [
            fixed(to_red),
            -fixed(red * to_red / green),
            -fixed(blue * to_blue / green),
            fixed(to_blue),
        ];
        // A stored value at its place between those for black and white.
        let scaled = |value: f32, [low, high]: [f32; 2], most: f32| {
            let width = if high == low { 1.0 } else { high - low };
            ((value - low.trunc()) * most / width).clamp(-4096.0, 4096.0) as i32
        };
        let mut table = ToRgb {
            luma: [0; 256],
            chroma: [[0; 256]; 4],
        };
        for at in 0..256 {
            let value = at as f32;
            table.luma[at] = scaled(value, [range[0], range[1]], 255.0);
            let chroma =
                |low: f32, high: f32| scaled(value - 128.0, [low - 128.0, high - 128.0], 127.0);
            let (b, r) = (chroma(range[2], range[3]), chroma(range[4], range[5]));
            table.chroma[0][at] = (factors[0] * r + 32768) >> 16;
            table.chroma[1][at] = factors[1] * r;
            table.chroma[2][at] = factors[2] * b + 32768;
            table.chroma[3][at] = (factors[3] * b + 32768) >> 16;
        }
        table
    }

    pub fn pixel(&self, ycbcr: [u8; 3]) -> [u8; 3] {
        let [y, b, r] = ycbcr.map(usize::from);
        let luma = self.luma[y];
        [
            luma + self.chroma[0][r],
            luma + ((self.chroma[1][r] + self.chroma[2][b]) >> 16),
            luma + self.chroma[3][b],
        ]
        .map(|level| level.clamp(0, 255) as u8)
    }
}

trait Sample: Copy {
    /// As one of 256 levels.
    fn level(self) -> u8;
    /// The level over white of a value that is already multiplied by its alpha.
    fn over_white(self, alpha: Self) -> u8;
}

impl Sample for u8 {
    fn level(self) -> u8 {
        self
    }

    fn over_white(self, alpha: u8) -> u8 {
        self.saturating_add(u8::MAX - alpha)
    }
}

impl Sample for u16 {
    fn level(self) -> u8 {
        ((u32::from(self) * 255 + 32767) / 65535) as u8
    }

    fn over_white(self, alpha: u16) -> u8 {
        self.saturating_add(u16::MAX - alpha).level()
    }
}

impl Sample for f32 {
    fn level(self) -> u8 {
        (self.clamp(0.0, 1.0) * 255.0).round() as u8
    }

    fn over_white(self, alpha: f32) -> u8 {
        (self + 1.0 - alpha).level()
    }
}
