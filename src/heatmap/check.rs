//! A heatmap → whether hiding what it marks changes the prediction more than hiding places at random.
//!
//! Deletion and insertion curves of Petsiuk et al., 2018, arXiv:1806.07421, over the cells of the map. Each step is
//! one run of the network, so that a caller can do something else between two steps, or stop.

use serde::{Deserialize, Serialize};

use super::fill::{Fill, filled};
use super::impute::impute;
use super::pixels::Pixels;
use super::random::Random;
use crate::error::{Error, Result};
use crate::manifest::Layout;
use crate::preprocess::Tensor;

/// How a heatmap is checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckQuery {
    /// Parts into which the cells of the map are divided, 1 to 1000.
    pub steps: usize,
    /// Random orders that the map is compared with, 2 to 1000.
    pub orders: usize,
    /// What takes the place of hidden cells.
    pub fill: Fill,
    /// Which random orders; the same number gives the same ones.
    pub seed: u64,
}

impl Default for CheckQuery {
    fn default() -> Self {
        CheckQuery {
            steps: 20,
            orders: 5,
            fill: Fill::default(),
            seed: 1,
        }
    }
}

impl CheckQuery {
    /// Refuses numbers out of range.
    ///
    /// # Errors
    /// [`Error::BadOption`].
    pub fn validate(&self) -> Result<()> {
        let within = |name: &str, value: usize, least: usize| match (least..=1000).contains(&value)
        {
            true => Ok(()),
            false => Err(Error::BadOption(format!(
                "`{name}` is {value}, expected {least} to 1000"
            ))),
        };
        within("steps", self.steps, 1)?;
        within("orders", self.orders, 2)
    }
}

/// What a check has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What the map marks matters more: `deletion_area` is below, and `insertion_area` above, the area of every random
    /// order. (A random order's curves are the same, hidden and shown, but for their direction.)
    Better,
    /// No difference from places at random is seen.
    Chance,
    /// What the map marks matters less: above and below every one.
    Worse,
}

/// The result of a check. A curve holds the probability of the explained class at each of `shares`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Share of the cells that are hidden (`deletion`) or shown (`insertion`), from 0 to 1.
    pub shares: Vec<f32>,
    /// The most marked cells hidden first.
    pub deletion: Vec<f32>,
    /// The most marked cells shown first, over what is otherwise hidden altogether.
    pub insertion: Vec<f32>,
    /// Cells hidden in each of the random orders.
    pub random: Vec<Vec<f32>>,
    /// Area under `deletion`: low if the map is right.
    pub deletion_area: f32,
    /// Area under `insertion`: high if the map is right.
    pub insertion_area: f32,
    /// Areas under `random`.
    pub random_areas: Vec<f32>,
    /// `insertion_area - deletion_area`.
    pub advantage: f32,
    /// The probability that a random order gets this verdict, if it is not [`Verdict::Chance`]: at most this.
    pub chance: f32,
    /// Whether the map is better than each of the random orders by both of its curves.
    pub verdict: Verdict,
}

/// An unfinished check.
#[derive(Debug, Clone)]
pub struct Check {
    input: Tensor,
    /// What is seen where everything is hidden.
    fill: Vec<f32>,
    linear: bool,
    pixels: Pixels,
    rows: usize,
    columns: usize,
    /// The map's order of the cells, and then the random ones.
    orders: Vec<Vec<usize>>,
    /// Cells at each step.
    counts: Vec<usize>,
    values: Vec<f32>,
}

impl Check {
    /// Starts a check of a map of `rows` × `columns` values over the whole input.
    ///
    /// # Errors
    /// [`Error::BadOption`] for numbers out of range, and when the input is not a batch of one image.
    pub fn new(
        input: &Tensor,
        layout: Layout,
        values: &[f32],
        (rows, columns): (usize, usize),
        query: &CheckQuery,
    ) -> Result<Check> {
        let pixels = Pixels::of(input, layout)?;
        query.validate()?;
        let cells = rows * columns;
        if values.len() != cells || cells < 2 {
            return Err(Error::BadOption(format!(
                "the heatmap has {} values for {rows} × {columns} cells; a check needs two or more",
                values.len()
            )));
        }
        let mut random = Random(query.seed);
        // Cells of the same value come in a random order, not in that of their places.
        let mut own = random.order(cells);
        // Plus 0, for -0 is 0.
        own.sort_by(|&a, &b| (values[b] + 0.0).total_cmp(&(values[a] + 0.0)));
        let mut orders = vec![own];
        orders.extend((0..query.orders).map(|_| random.order(cells)));
        let steps = query.steps.min(cells);
        Ok(Check {
            fill: filled(input, &pixels, query.fill),
            linear: query.fill == Fill::Linear,
            input: input.clone(),
            pixels,
            rows,
            columns,
            orders,
            counts: (0..=steps)
                .map(|step| (step * cells + steps / 2) / steps)
                .collect(),
            values: Vec::new(),
        })
    }

    /// Points of a curve between the photo and the fill.
    fn inner(&self) -> usize {
        self.counts.len() - 2
    }

    /// Steps done, and steps in all: the photo, the fill, the map's two curves and the random ones.
    pub fn progress(&self) -> (usize, usize) {
        let curves = self.orders.len() + 1;
        (self.values.len(), 2 + curves * self.inner())
    }

    /// Lets the network see the next picture; `probability` runs it.
    ///
    /// # Errors
    /// Those of `probability`.
    pub fn step(&mut self, probability: impl FnOnce(&Tensor) -> Result<f32>) -> Result<()> {
        let inner = self.inner();
        let seen = match self.values.len() {
            0 => self.hidden(&[]),
            1 => self.hidden(&self.orders[0]),
            at => {
                let (curve, step) = ((at - 2) / inner, (at - 2) % inner);
                let count = self.counts[step + 1];
                match curve {
                    0 => self.hidden(&self.orders[0][..count]),
                    1 => self.hidden(&self.orders[0][count..]),
                    order => self.hidden(&self.orders[order - 1][..count]),
                }
            }
        };
        let value = probability(&seen)?;
        self.values.push(value);
        Ok(())
    }

    /// The input without these cells.
    fn hidden(&self, cells: &[usize]) -> Tensor {
        let mut seen = self.input.clone();
        if self.linear {
            self.impute(&mut seen, cells);
            return seen;
        }
        for &cell in cells {
            let (row, column) = (cell / self.columns, cell % self.columns);
            let own = [row..row + 1, column..column + 1];
            for at in self.pixels.under(own, [self.rows, self.columns]) {
                seen.values[at] = self.fill[at];
            }
        }
        seen
    }

    fn impute(&self, seen: &mut Tensor, cells: &[usize]) {
        let size = [self.rows, self.columns];
        let Pixels {
            channels,
            height,
            width,
            ..
        } = self.pixels;
        let mut hidden = vec![false; height * width];
        for &cell in cells {
            let (row, column) = (cell / self.columns, cell % self.columns);
            let [down, across] = self
                .pixels
                .covered([row..row + 1, column..column + 1], size);
            for y in down {
                hidden[y * width..][across.clone()].fill(true);
            }
        }
        let mut plane = vec![0.0; height * width];
        for c in 0..channels {
            let place = |at: usize| self.pixels.place(c, at / width, at % width);
            for (at, value) in plane.iter_mut().enumerate() {
                *value = seen.values[place(at)];
            }
            impute(&mut plane, &hidden, width);
            for (at, &value) in plane.iter().enumerate() {
                seen.values[place(at)] = value;
            }
        }
    }

    /// The result, once every step is done.
    ///
    /// # Errors
    /// [`Error::Cancelled`] before that.
    pub fn finish(&self) -> Result<Checked> {
        let (done, of) = self.progress();
        if done < of {
            return Err(Error::Cancelled);
        }
        let (whole, none) = (self.values[0], self.values[1]);
        let inner = self.inner();
        let within = |curve: usize| &self.values[2 + curve * inner..][..inner];
        let curve = |first: f32, curve: usize, last: f32| {
            let inner = within(curve).iter().copied();
            std::iter::once(first).chain(inner).chain([last]).collect()
        };
        let deletion: Vec<f32> = curve(whole, 0, none);
        let insertion: Vec<f32> = curve(none, 1, whole);
        let random: Vec<Vec<f32>> = (1..self.orders.len())
            .map(|order| curve(whole, order + 1, none))
            .collect();
        let cells = (self.rows * self.columns) as f32;
        let shares: Vec<f32> = self
            .counts
            .iter()
            .map(|&count| count as f32 / cells)
            .collect();
        let area = |curve: &[f32]| {
            let parts = shares.windows(2).zip(curve.windows(2));
            parts
                .map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0)
                .sum::<f32>()
        };
        let random_areas: Vec<f32> = random.iter().map(|curve| area(curve)).collect();
        let (deletion_area, insertion_area) = (area(&deletion), area(&insertion));
        let advantage = insertion_area - deletion_area;
        let (least, most) = random_areas.iter().fold(
            (f32::INFINITY, f32::NEG_INFINITY),
            |(least, most), &area| (least.min(area), most.max(area)),
        );
        let verdict = if deletion_area < least && insertion_area > most && advantage > NOTHING {
            Verdict::Better
        } else if deletion_area > most && insertion_area < least && advantage < -NOTHING {
            Verdict::Worse
        } else {
            Verdict::Chance
        };
        Ok(Checked {
            verdict,
            chance: 1.0 / (random_areas.len() as f32 + 1.0),
            shares,
            deletion,
            insertion,
            random,
            deletion_area,
            insertion_area,
            random_areas,
            advantage,
        })
    }
}

/// Differences of areas that mean nothing: a network that does not see the photo has noise alone.
const NOTHING: f32 = 0.005;

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that looks at one square of a picture of ones.
    fn check(map: impl Fn(usize) -> f32, look: impl Fn(&Tensor) -> f32) -> Checked {
        let input = Tensor {
            shape: vec![1, 1, 28, 28],
            values: (0..28 * 28)
                .map(|at| {
                    if (at / 28 / 4 + at % 28 / 4) % 2 == 0 {
                        1.0
                    } else {
                        -1.0
                    }
                })
                .collect(),
        };
        let values: Vec<f32> = (0..49).map(map).collect();
        let query = CheckQuery {
            fill: Fill::Mean,
            ..CheckQuery::default()
        };
        let mut check = Check::new(&input, Layout::Nchw, &values, (7, 7), &query).unwrap();
        assert_eq!(check.finish().unwrap_err(), Error::Cancelled);
        let (_, of) = check.progress();
        assert_eq!(of, 2 + 7 * 19);
        for _ in 0..of {
            check.step(|seen| Ok(look(seen))).unwrap();
        }
        check.finish().unwrap()
    }

    /// The cell in the middle, third row and column.
    fn square(seen: &Tensor) -> f32 {
        if seen.values[13 * 28 + 13].abs() > 0.5 {
            0.9
        } else {
            0.1
        }
    }

    #[test]
    fn a_map_of_what_the_network_looks_at_is_better_than_chance() {
        let found = check(|cell| if cell == 24 { 2.0 } else { 0.0 }, square);
        assert_eq!(found.verdict, Verdict::Better, "{found:?}");
        assert_eq!(&found.deletion[..2], &[0.9, 0.1], "falls at once");
        assert_eq!(&found.insertion[..2], &[0.1, 0.9]);
        assert_eq!((found.shares[0], *found.shares.last().unwrap()), (0.0, 1.0));
    }

    #[test]
    fn a_map_of_everything_else_is_worse_than_chance() {
        let found = check(|cell| if cell == 24 { -1.0 } else { 0.0 }, square);
        assert_eq!(found.verdict, Verdict::Worse, "{found:?}");
    }

    #[test]
    fn a_network_that_does_not_look_is_chance() {
        let found = check(|cell| cell as f32, |_| 0.25);
        assert_eq!(found.verdict, Verdict::Chance);
        assert_eq!((found.deletion_area, found.insertion_area), (0.25, 0.25));
    }

    #[test]
    fn odd_numbers_are_refused() {
        let input = Tensor {
            shape: vec![1, 1, 4, 4],
            values: vec![0.0; 16],
        };
        for (steps, orders, values) in [(0, 5, 4), (20, 1, 4), (20, 5, 3), (2000, 5, 4)] {
            let query = CheckQuery {
                steps,
                orders,
                ..CheckQuery::default()
            };
            let refused = Check::new(&input, Layout::Nchw, &vec![0.0; values], (2, 2), &query);
            assert_eq!(refused.unwrap_err().code(), "bad-option");
        }
    }
}
