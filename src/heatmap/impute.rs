//! A picture with hidden pixels → the same with each hidden pixel a weighted mean of its neighbours.
//!
//! Linear imputation of ROAD (Rong et al., 2022, arXiv:2202.00449), without its noise: the hidden pixels solve
//! Σ w (x_neighbour − x) = 0, with w = 1/6 for the neighbours by a side and 1/12 for those by a corner; neighbours
//! beyond the edge do not count. The system is symmetric and positive definite where a pixel is shown. It is solved by
//! conjugate gradients from coarse pictures to fine ones (Bornemann and Deuflhard, 1996, doi:10.1007/s002110050234):
//! a coarse solution is nearly right where holes are wide, and what is left are fine differences, which take few
//! iterations.

/// Iterations on the finest picture. Of the coarser ones each takes twice as many as the one before, for a quarter of
/// the cost.
const ITERATIONS: usize = 96;

/// Pictures of fewer pixels than this a side are not made coarser.
const COARSEST: usize = 8;

/// Gives the hidden pixels of a plane of `height × width` values new ones. Where all are hidden they become the mean.
pub fn impute(plane: &mut [f32], hidden: &[bool], width: usize) {
    let all_hidden = !hidden.contains(&false);
    let (mut sum, mut count) = (0.0, 0);
    for (value, _) in plane
        .iter()
        .zip(hidden)
        .filter(|(_, hidden)| all_hidden || !**hidden)
    {
        sum += f64::from(*value);
        count += 1;
    }
    let mean = (sum / f64::from(count.max(1))) as f32;
    for (value, _) in plane.iter_mut().zip(hidden).filter(|(_, hidden)| **hidden) {
        *value = mean;
    }
    if !all_hidden && hidden.contains(&true) {
        solve(plane, hidden, width, ITERATIONS);
    }
}

/// Solves for the hidden pixels, which hold a first guess.
fn solve(plane: &mut [f32], hidden: &[bool], width: usize, iterations: usize) {
    let height = plane.len() / width;
    if width.min(height) > COARSEST {
        let (mut coarse, coarse_hidden, columns) = halved(plane, hidden, width);
        if coarse_hidden.contains(&true) {
            solve(&mut coarse, &coarse_hidden, columns, 2 * iterations);
            enlarge(&coarse, columns, plane, hidden, width);
        }
    }
    conjugate_gradients(plane, hidden, width, iterations);
}

/// Each 2 × 2 pixels as one: the mean of those that are shown; hidden where none is.
fn halved(plane: &[f32], hidden: &[bool], width: usize) -> (Vec<f32>, Vec<bool>, usize) {
    let height = plane.len() / width;
    let (columns, rows) = (width.div_ceil(2), height.div_ceil(2));
    let mut coarse = vec![0.0; columns * rows];
    let mut coarse_hidden = vec![false; columns * rows];
    for at in 0..coarse.len() {
        let (x, y) = (at % columns * 2, at / columns * 2);
        let (mut shown, mut count, mut all, mut pixels) = (0.0, 0.0, 0.0, 0.0);
        for y in y..(y + 2).min(height) {
            for x in x..(x + 2).min(width) {
                let value = plane[y * width + x];
                all += value;
                pixels += 1.0;
                if !hidden[y * width + x] {
                    shown += value;
                    count += 1.0;
                }
            }
        }
        coarse_hidden[at] = count == 0.0;
        coarse[at] = if count == 0.0 {
            all / pixels
        } else {
            shown / count
        };
    }
    (coarse, coarse_hidden, columns)
}

/// Fills the hidden pixels by bilinear interpolation of the coarse picture.
fn enlarge(coarse: &[f32], columns: usize, plane: &mut [f32], hidden: &[bool], width: usize) {
    let rows = coarse.len() / columns;
    let near = |at: usize, most: usize| {
        let own = at / 2;
        let other = if at.is_multiple_of(2) {
            own.saturating_sub(1)
        } else {
            (own + 1).min(most - 1)
        };
        (own, other)
    };
    for (at, value) in plane.iter_mut().enumerate().filter(|(at, _)| hidden[*at]) {
        let ((x, other_x), (y, other_y)) = (near(at % width, columns), near(at / width, rows));
        let row = |y: usize| 0.75 * coarse[y * columns + x] + 0.25 * coarse[y * columns + other_x];
        *value = 0.75 * row(y) + 0.25 * row(other_y);
    }
}

fn conjugate_gradients(plane: &mut [f32], hidden: &[bool], width: usize, iterations: usize) {
    let system = System::new(hidden, width, plane.len() / width);
    let mut x = system.padded(plane);
    let mut residual = vec![0.0; x.len()];
    system.apply(&x, &mut residual);
    residual.iter_mut().for_each(|value| *value = -*value);
    let mut direction = residual.clone();
    let mut image = vec![0.0; x.len()];
    let mut norm = dot(&residual, &residual);
    let least = norm * 1e-12;
    for _ in 0..iterations {
        system.apply(&direction, &mut image);
        let curvature = dot(&direction, &image);
        if norm <= least || curvature <= 0.0 {
            break;
        }
        let step = norm / curvature;
        for (x, d) in x.iter_mut().zip(&direction) {
            *x += step * d;
        }
        for (r, i) in residual.iter_mut().zip(&image) {
            *r -= step * i;
        }
        let before = norm;
        norm = dot(&residual, &residual);
        let turn = norm / before;
        for (d, r) in direction.iter_mut().zip(&residual) {
            *d = r + turn * *d;
        }
    }
    system.unpad(&x, plane);
}

/// By eight sums at once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let whole = a.len() / 8 * 8;
    let rest = a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b);
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}

/// The system's matrix, on planes with an edge of one pixel around.
struct System {
    width: usize,
    height: usize,
    /// Sum of the weights of the neighbours of a hidden pixel; 0 for one that is shown.
    own: Vec<f32>,
    /// 1 for a hidden pixel, 0 for one that is shown.
    mask: Vec<f32>,
}

impl System {
    fn new(hidden: &[bool], width: usize, height: usize) -> System {
        let stride = width + 2;
        let mut mask = vec![0.0; stride * (height + 2)];
        let mut own = mask.clone();
        for (at, _) in hidden.iter().enumerate().filter(|(_, hidden)| **hidden) {
            let (x, y) = (at % width, at / width);
            let at = (y + 1) * stride + x + 1;
            mask[at] = 1.0;
            let across = 1.0 + f32::from(u8::from(x > 0)) + f32::from(u8::from(x + 1 < width));
            let down = 1.0 + f32::from(u8::from(y > 0)) + f32::from(u8::from(y + 1 < height));
            // Sides count 2/12 and corners 1/12.
            let (sides, both) = (across + down - 2.0, across * down - 1.0);
            own[at] = (both + sides) / 12.0;
        }
        System {
            width,
            height,
            own,
            mask,
        }
    }

    fn padded(&self, plane: &[f32]) -> Vec<f32> {
        let stride = self.width + 2;
        let mut padded = vec![0.0; stride * (self.height + 2)];
        for (y, row) in plane.chunks_exact(self.width).enumerate() {
            padded[(y + 1) * stride + 1..][..self.width].copy_from_slice(row);
        }
        padded
    }

    fn unpad(&self, padded: &[f32], plane: &mut [f32]) {
        let stride = self.width + 2;
        for (y, row) in plane.chunks_exact_mut(self.width).enumerate() {
            row.copy_from_slice(&padded[(y + 1) * stride + 1..][..self.width]);
        }
    }

    /// For each hidden pixel Σ w (x − x_neighbour), and 0 for the others.
    fn apply(&self, x: &[f32], out: &mut [f32]) {
        let stride = self.width + 2;
        for y in 1..=self.height {
            let row = |y: usize| &x[y * stride..][..stride];
            let (above, middle, below) = (row(y - 1), row(y), row(y + 1));
            let range = y * stride + 1..y * stride + 1 + self.width;
            let (own, mask) = (&self.own[range.clone()], &self.mask[range.clone()]);
            let n = self.width;
            let out = &mut out[range];
            let (al, am, ar) = (&above[..n], &above[1..n + 1], &above[2..n + 2]);
            let (ml, mm, mr) = (&middle[..n], &middle[1..n + 1], &middle[2..n + 2]);
            let (bl, bm, br) = (&below[..n], &below[1..n + 1], &below[2..n + 2]);
            for i in 0..n {
                let corners = (al[i] + ar[i]) + (bl[i] + br[i]);
                let sides = (am[i] + bm[i]) + (ml[i] + mr[i]);
                out[i] = own[i] * mm[i] - mask[i] * (corners + 2.0 * sides) / 12.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_of_a_slope_is_itself() {
        // Each neighbour has one opposite it, so that a slope is the mean of its neighbours.
        let (width, height) = (40, 24);
        let slope = |at: usize| (at % width) as f32 * 0.25 - (at / width) as f32;
        let whole: Vec<f32> = (0..width * height).map(slope).collect();
        let within = |at: usize| (8..30).contains(&(at % width)) && (5..19).contains(&(at / width));
        let hidden: Vec<bool> = (0..whole.len()).map(within).collect();
        let mut seen = whole.clone();
        for (value, _) in seen.iter_mut().zip(&hidden).filter(|(_, hidden)| **hidden) {
            *value = 100.0;
        }
        impute(&mut seen, &hidden, width);
        let most = seen.iter().zip(&whole).map(|(a, b)| (a - b).abs());
        assert!(most.fold(0.0, f32::max) < 0.01);
    }

    #[test]
    fn what_is_shown_stays_and_nothing_shown_is_the_mean() {
        let mut plane = vec![1.0, 2.0, 3.0, 6.0];
        impute(&mut plane, &[false; 4], 2);
        assert_eq!(plane, [1.0, 2.0, 3.0, 6.0]);
        impute(&mut plane, &[true; 4], 2);
        assert_eq!(plane, [3.0; 4]);
        let mut one = vec![5.0, f32::MAX];
        impute(&mut one, &[false, true], 2);
        assert_eq!(one[0], 5.0);
        assert!((one[1] - 5.0).abs() < 1e-5, "{one:?}");
    }
}
