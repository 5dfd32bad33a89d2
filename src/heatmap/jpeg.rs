//! Pixels of 8 bits → the same after a JPEG of them: what it loses, without its file.
//!
//! ITU-T T.81 (1992) with its tables of Annex K, and JFIF's colours, in the integers of libjpeg, which Pillow uses: the
//! transform of Loeffler, Ligtenberg and Moschytz, 1989, doi:10.1109/ICASSP.1989.266596; chroma halved in both directions
//! by the mean, and doubled again by a triangle filter. The entropy coding between loses nothing. An encoder and a
//! decoder of whole files would be a tenth of what every visitor fetches.

/// Table K.1, row by row, of luminance.
const LUMINANCE: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/// Table K.2, of chrominance.
const CHROMINANCE: [u16; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

/// One component, row by row.
struct Plane {
    width: usize,
    height: usize,
    values: Vec<u8>,
}

impl Plane {
    fn of(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Plane {
        let places = (0..width * height).map(|at| value(at / width, at % width));
        Plane {
            width,
            height,
            values: places.collect(),
        }
    }

    /// The value there, beyond an edge that at the edge.
    fn at(&self, row: usize, column: usize) -> i32 {
        let (row, column) = (row.min(self.height - 1), column.min(self.width - 1));
        i32::from(self.values[row * self.width + column])
    }

    fn cut(&self, width: usize, height: usize) -> Plane {
        Plane::of(width, height, |row, column| {
            self.values[row * self.width + column]
        })
    }

    /// A quarter of the pixels: each the mean of four. Quarters are rounded by one and two in turns.
    fn halved(&self) -> Plane {
        Plane::of(self.width / 2, self.height / 2, |row, column| {
            let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let four = places.map(|(y, x)| self.at(2 * row + y, 2 * column + x));
            ((four.iter().sum::<i32>() + 1 + (column % 2) as i32) >> 2) as u8
        })
    }

    /// Twice as wide and high: three quarters of the nearer value and one of the next, in each direction.
    fn doubled(&self, width: usize, height: usize) -> Plane {
        let next = |at: usize| match at % 2 {
            0 => (at / 2).saturating_sub(1),
            _ => at / 2 + 1,
        };
        Plane::of(width, height, |row, column| {
            let along = |row: usize| 3 * self.at(row, column / 2) + self.at(row, next(column));
            let sum = 3 * along(row / 2) + along(next(row));
            ((sum + 8 - (column % 2) as i32) >> 4) as u8
        })
    }

    /// Each block of 8 × 8 as multiples of the steps of a table; the sides are multiples of 8.
    fn quantised(&self, table: &[u16; 64], quality: u8) -> Plane {
        let steps = table.map(|step| scaled(step, quality));
        let mut done = self.values.clone();
        for top in (0..self.height).step_by(8) {
            for left in (0..self.width).step_by(8) {
                let mut block = [0; 64];
                for (at, value) in block.iter_mut().enumerate() {
                    *value = self.at(top + at / 8, left + at % 8) - 128;
                }
                along(&mut block, 1, |line| forward(line, 0));
                along(&mut block, 8, |line| forward(line, 2 * BETWEEN));
                for (value, step) in block.iter_mut().zip(steps) {
                    // The transform is 8 times as large.
                    let most = 8 * step;
                    *value = (value.abs() + most / 2) / most * step * value.signum();
                }
                along(&mut block, 8, |line| backward(line, FRACTION - BETWEEN));
                along(&mut block, 1, |line| backward(line, FRACTION + BETWEEN + 3));
                for (at, value) in block.iter().enumerate() {
                    let place = (top + at / 8) * self.width + left + at % 8;
                    done[place] = (value + 128).clamp(0, 255) as u8;
                }
            }
        }
        Plane {
            values: done,
            ..*self
        }
    }
}

/// A step of a table at a quality of 1 to 100, as libjpeg reckons it.
fn scaled(step: u16, quality: u8) -> i32 {
    let quality = i32::from(quality.clamp(1, 100));
    let percent = match quality {
        ..50 => 5000 / quality,
        _ => 200 - 2 * quality,
    };
    ((i32::from(step) * percent + 50) / 100).clamp(1, 255)
}

/// Changes the eight lines of a block whose values lie `stride` apart: 1 for rows, 8 for columns.
fn along(block: &mut [i32; 64], stride: usize, change: impl Fn([i32; 8]) -> [i32; 8]) {
    for line in 0..8 {
        let first = line * 8 / stride;
        let place = |at: usize| first + at * stride;
        let changed = change(std::array::from_fn(|at| block[place(at)]));
        for (at, value) in changed.into_iter().enumerate() {
            block[place(at)] = value;
        }
    }
}

/// Bits behind the point: of constants, and of what is kept between two passes.
const FRACTION: i32 = 13;
const BETWEEN: i32 = 2;

/// A product's bits behind the point, rounded away.
fn rounded(value: i32, bits: i32) -> i32 {
    (value + (1 << (bits - 1))) >> bits
}

/// The even half's rotation of two values, by `FRACTION` bits.
fn turned(a: i32, b: i32) -> (i32, i32) {
    let both = (a + b) * 4433;
    (both + a * 6270, both - b * 15137)
}

/// The odd half, its own inverse but for the order: `v` are the values of the waves or differences 7, 5, 3, 1.
fn odd(v: [i32; 4]) -> [i32; 4] {
    let across = (v[0] + v[1] + v[2] + v[3]) * 9633;
    let ends = (v[0] + v[3]) * -7373;
    let middles = (v[1] + v[2]) * -20995;
    let (even, odd) = (
        (v[0] + v[2]) * -16069 + across,
        (v[1] + v[3]) * -3196 + across,
    );
    [
        v[0] * 2446 + ends + even,
        v[1] * 16819 + middles + odd,
        v[2] * 25172 + middles + even,
        v[3] * 12299 + ends + odd,
    ]
}

/// Eight places → eight waves, √8 times as large; `bits` more than `BETWEEN` are taken off again.
fn forward(d: [i32; 8], bits: i32) -> [i32; 8] {
    let sums: [i32; 4] = std::array::from_fn(|at| d[at] + d[7 - at]);
    let differences: [i32; 4] = std::array::from_fn(|at| d[3 - at] - d[4 + at]);
    let (outer, inner) = (sums[0] + sums[3], sums[1] + sums[2]);
    let plain = |value: i32| match bits {
        0 => value << BETWEEN,
        _ => rounded(value, BETWEEN),
    };
    let fraction = |value: i32| rounded(value, FRACTION - BETWEEN + bits);
    let (two, six) = turned(sums[0] - sums[3], sums[1] - sums[2]);
    let [seven, five, three, one] = odd(differences).map(fraction);
    [
        plain(outer + inner),
        one,
        fraction(two),
        three,
        plain(outer - inner),
        five,
        fraction(six),
        seven,
    ]
}

/// Eight waves → eight places; `bits` are taken off.
fn backward(w: [i32; 8], bits: i32) -> [i32; 8] {
    let (three, two) = turned(w[2], w[6]);
    let (sum, difference) = ((w[0] + w[4]) << FRACTION, (w[0] - w[4]) << FRACTION);
    let even = [sum + three, difference + two, difference - two, sum - three];
    let mut odd = odd([w[7], w[5], w[3], w[1]]);
    odd.reverse();
    std::array::from_fn(|at| match at {
        0..4 => rounded(even[at] + odd[at], bits),
        _ => rounded(even[7 - at] - odd[7 - at], bits),
    })
}

/// Pixels of one or three channels (red, green, blue), interleaved, after a JPEG of a quality of 1 to 100.
pub fn recompressed(
    levels: &[u8],
    (width, height): (usize, usize),
    channels: usize,
    quality: u8,
) -> Vec<u8> {
    // Blocks of chroma are twice as large; beyond the edge, its pixels are repeated.
    let (wide, high) = (width.next_multiple_of(16), height.next_multiple_of(16));
    let component = |value: &dyn Fn(&[u8]) -> i32| {
        Plane::of(wide, high, |row, column| {
            let pixel = row.min(height - 1) * width + column.min(width - 1);
            value(&levels[pixel * channels..][..channels]) as u8
        })
    };
    if channels == 1 {
        let grey = component(&|pixel| i32::from(pixel[0]));
        return grey
            .quantised(&LUMINANCE, quality)
            .cut(width, height)
            .values;
    }
    let weighed = |weights: [i32; 3], offset: i32| {
        let sum = move |pixel: &[u8]| {
            let parts = pixel
                .iter()
                .zip(weights)
                .map(|(&level, w)| w * i32::from(level));
            (parts.sum::<i32>() + offset) >> 16
        };
        component(&sum)
    };
    let luminance = weighed([19595, 38470, 7471], HALF).quantised(&LUMINANCE, quality);
    let [blue, red] = [[-11059, -21709, 32768], [32768, -27439, -5329]].map(|weights| {
        let chroma = weighed(weights, (128 << 16) + HALF - 1).halved();
        let chroma = chroma.quantised(&CHROMINANCE, quality);
        let chroma = chroma.cut(width.div_ceil(2), height.div_ceil(2));
        chroma.doubled(width, height)
    });
    let pixels = (0..width * height).flat_map(|at| {
        let y = luminance.at(at / width, at % width);
        let [cb, cr] = [&blue, &red].map(|plane| i32::from(plane.values[at]) - 128);
        [
            y + ((91881 * cr + HALF) >> 16),
            y + ((-22554 * cb - 46802 * cr + HALF) >> 16),
            y + ((116130 * cb + HALF) >> 16),
        ]
    });
    pixels.map(|value| value.clamp(0, 255) as u8).collect()
}

/// One half, by 16 bits.
const HALF: i32 = 1 << 15;
