//! A plan + an input → how long each step takes. For developers: `make profile`.

use std::collections::BTreeMap;
use std::fmt::Write;

use web_time::Instant;

use super::super::super::kernel::Window;
use super::super::loops::{Loop, Loops};
use super::super::memory::{Kept, Memory};
use super::super::{Step, Team, Work};
use super::Executor;

/// Single steps that are listed.
const LISTED: usize = 30;

impl Executor {
    /// A table of the forward pass: for each kind of step the number of steps, milliseconds, share, and the share of that
    /// time whose steps several threads take part in; what this predicts for more threads; then the steps that take
    /// longest. Each time is the shortest of `rounds`.
    ///
    /// # Panics
    /// When the input has another size than the plan says.
    pub fn profile(&self, input: &[f32], rounds: usize) -> String {
        let mut kept = vec![0.0; self.sizes.kept];
        let scratch = self.scratch * self.threads;
        let [mut work, mut scratch] = [self.sizes.work, scratch].map(|size| vec![0.0; size]);
        let team = self.team();
        let mut memory = Memory {
            sizes: self.sizes,
            constants: &self.constants,
            kept: Kept::Write(&mut kept),
            work: &mut work,
        };
        let steps = &self.forward.steps;
        let mut times = vec![f64::INFINITY; steps.len()];
        for _ in 0..rounds {
            memory.get_mut(&self.forward.given).copy_from_slice(input);
            for (step, time) in steps.iter().zip(&mut times) {
                let start = Instant::now();
                step.run(&mut memory, &mut scratch, &team);
                *time = time.min(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        // The part of a step that takes longest, where so many threads share it.
        let longest = |step: &Step, threads: usize| {
            let [turns, _] = step.turns();
            let parts = step.parts(&Team { threads, ..team }, turns);
            turns.div_ceil(parts) as f64 / turns.max(1) as f64
        };
        let shared: Vec<bool> = steps.iter().map(|step| longest(step, 2) < 1.0).collect();
        let mut text = table(steps, &times, &shared);
        if team.threads == 1 {
            for threads in [2, 4, 8] {
                let parts = steps.iter().zip(&times);
                let sum: f64 = parts
                    .map(|(step, time)| time * longest(step, threads))
                    .sum();
                let _ = writeln!(text, "{threads} threads at best: {sum:.2} ms");
            }
        }
        list(&mut text, steps, &times);
        text
    }
}

fn table(steps: &[Step], times: &[f64], shared: &[bool]) -> String {
    let all: f64 = times.iter().sum();
    let mut kinds: BTreeMap<String, (usize, f64, f64)> = BTreeMap::new();
    for ((step, &time), &shared) in steps.iter().zip(times).zip(shared) {
        let (count, sum, several) = kinds.entry(kind(&step.work)).or_default();
        *count += 1;
        *sum += time;
        *several += if shared { time } else { 0.0 };
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|(_, (_, a, _)), (_, (_, b, _))| b.total_cmp(a));
    let several: f64 = kinds.iter().map(|(_, (_, _, several))| several).sum();
    let several = 100.0 * several / all;
    let count = steps.len();
    let mut text = format!("{count} steps, {all:.2} ms, {several:.1} % of it shared by threads\n");
    for (kind, (count, time, several)) in kinds {
        let [share, several] = [time / all, several / time].map(|part| 100.0 * part);
        let _ = writeln!(
            text,
            "{time:9.3} ms {share:5.1} % {several:5.1} % shared {count:5} × {kind}"
        );
    }
    text
}

fn list(text: &mut String, steps: &[Step], times: &[f64]) {
    let mut longest: Vec<usize> = (0..steps.len()).collect();
    longest.sort_by(|&a, &b| times[b].total_cmp(&times[a]));
    text.push('\n');
    for at in longest.into_iter().take(LISTED) {
        let Step { output, work, .. } = &steps[at];
        let (kind, shape) = (kind(work), shape(work, output.len()));
        let _ = writeln!(text, "{:9.3} ms, step {at}: {kind} {shape}", times[at]);
    }
}

fn kind(work: &Work) -> String {
    match work {
        Work::Set(_) => "set".into(),
        Work::Copy(_) => "copy".into(),
        Work::Map(map, _) if map.slope => format!("slope {:?}", map.function),
        Work::Map(map, _) => format!("map {:?}", map.function),
        Work::Pair(function, _) => format!("pair {function:?}"),
        Work::Choose(_) => "choose".into(),
        Work::Reduce(reducer, ..) => format!("reduce {reducer:?}"),
        Work::Softmax(_) => "softmax".into(),
        Work::Normalise(..) => "normalise".into(),
        Work::Product(product) if product.groups.len() > 1 => "product, grouped".into(),
        Work::Product(_) => "product".into(),
        Work::Tiles(_) => "tiles".into(),
        Work::Filter(_) => "filter".into(),
        Work::Pack(_) => "pack".into(),
        Work::Multiply(_) => "multiply".into(),
        Work::Largest(..) => "largest".into(),
        Work::Pool(_) => "pool".into(),
        Work::Fold(..) => "fold".into(),
        Work::Unpool(_) => "unpool".into(),
    }
}

fn shape(work: &Work, values: usize) -> String {
    fn loops<const N: usize>(loops: &Loops<N>) -> String {
        let each = |Loop { length, strides }: &Loop<N>| format!("{length}×{strides:?}");
        loops.0.iter().map(each).collect::<Vec<_>>().join(" ")
    }
    fn window(window: &Window, channels: usize) -> String {
        let Window {
            input,
            output,
            kernel,
            stride,
            ..
        } = window;
        format!("{input:?} → {output:?} by {kernel:?}, stride {stride:?}, {channels} channels")
    }
    match work {
        Work::Set(_) => format!("{values} values"),
        Work::Copy(all) | Work::Map(_, all) => loops(all),
        Work::Pair(_, all) => loops(all),
        Work::Choose(all) => loops(all),
        Work::Reduce(_, kept, reduced) => format!("{} over {}", loops(kept), loops(reduced)),
        Work::Softmax(length) | Work::Normalise(length, _) => {
            format!("{} rows of {length}", values / length)
        }
        Work::Product(product) => {
            let patches = &product.patches;
            let sums: usize = product.groups.iter().map(|group| group.outputs()).sum();
            let [rows, columns] = patches.output;
            let (runs, length) = (patches.runs.len(), patches.length);
            let groups = product.groups.len();
            format!("{rows}×{columns} pixels, {runs}×{length} → {sums} in {groups}")
        }
        Work::Tiles(tiles) => {
            let [inputs, outputs] = [tiles.winograd.inputs(), tiles.winograd.outputs()];
            format!("{} → {outputs}", window(&tiles.window, inputs))
        }
        Work::Filter(filter) => {
            let pixels = filter.window.output[0] * filter.window.output[1];
            window(&filter.window, values / pixels)
        }
        Work::Pack(pack) => format!(
            "{} products, {}×{}, {:?}",
            loops(&pack.batch),
            pack.summed,
            pack.columns,
            pack.strides
        ),
        Work::Multiply(multiply) => format!(
            "{} products, {}×{} → {}",
            multiply.batch.volume().unwrap_or(0),
            multiply.rows(),
            multiply.patches.length,
            multiply.columns
        ),
        Work::Largest(channels, all) => window(all, *channels),
        Work::Pool(pool) => window(&pool.window, pool.channels),
        Work::Fold(all, _) | Work::Unpool(all) => window(all, 1),
    }
}
