//! Buffers → their places in one arena. Those that are needed at different times share places.

use std::cmp::Reverse;
use std::ops::Range;

use tract_onnx::tract_core::internal::*;

use super::view::{View, over};
use super::{Arranged, Arranger, Draft, Operand, Pass, number, push_loops};
use crate::model::run::steps::record::Half;

/// Values of a cache line: buffers begin with one.
const LINE: usize = 16;

/// When a buffer is needed: from the step that writes it first to the one that reads it last, both included. What a
/// pass is given is there before its first step, and what it makes is read after its last.
#[derive(Clone, Copy)]
struct Life {
    first: usize,
    last: usize,
}

impl Life {
    fn meets(&self, other: &Life) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn reach(&mut self, time: usize) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }
}

impl Draft {
    fn operands(&self) -> impl Iterator<Item = Operand> {
        let residual = self.residual.flatten();
        self.inputs
            .iter()
            .copied()
            .chain(residual)
            .chain([self.output])
    }
}

/// Finds a place for every buffer and writes the records.
pub(super) fn place(arranger: Arranger, passes: [Option<Pass>; 2]) -> TractResult<Arranged> {
    let Arranger {
        buffers,
        drafts,
        tensors,
        blocks,
        numbers,
        read,
        ..
    } = arranger;
    let sizes: Vec<usize> = buffers.iter().map(|buffer| buffer.size).collect();
    let passes: Vec<Pass> = passes.into_iter().flatten().collect();
    let lives = lives(&drafts, &passes, sizes.len());
    let middle = passes[0].steps.end + 1;
    let is_constant = |buffer: usize| buffers[buffer].constant.is_some();
    // Written before the gradient, and read by it.
    let is_kept = |life: &Life| life.first <= middle && life.last > middle;
    let stays = |buffer: usize, life: &Life| is_constant(buffer) || is_kept(life);
    let (homes, lives) = share(&drafts, &sizes, lives, &stays);

    let mut at = vec![0; sizes.len()];
    let mut end = 0;
    let mut constants = Vec::new();
    for (buffer, size) in sizes.iter().enumerate() {
        if let Some(list) = buffers[buffer].constant {
            at[buffer] = end;
            constants.push([number(end)?, list]);
            end += size.next_multiple_of(LINE);
        }
    }
    let held = end;
    let used = |buffer: &usize| homes[*buffer] == *buffer && lives[*buffer].is_some();
    let own: Vec<usize> = (0..sizes.len())
        .filter(used)
        .filter(|&buffer| !is_constant(buffer))
        .collect();
    let life = |buffer: usize| lives[buffer].unwrap_or(Life { first: 0, last: 0 });
    let (kept, work): (Vec<usize>, Vec<usize>) =
        own.into_iter().partition(|&one| is_kept(&life(one)));
    for buffer in kept {
        at[buffer] = end;
        end += sizes[buffer].next_multiple_of(LINE);
    }
    let kept = end - held;
    let (starts, size) = fit(&work, &sizes, &life);
    for (&buffer, start) in work.iter().zip(starts) {
        at[buffer] = end + start;
    }
    let spaces = [number(held)?, number(kept)?, number(size)?];

    let place = |buffer: usize, start: usize| number(at[homes[buffer]] + start);
    let half = |pass: &Pass| -> TractResult<Half> {
        let steps = drafts[pass.steps.clone()].iter().map(|draft| {
            let mut record = Vec::new();
            for operand in [draft.output].iter().chain(&draft.inputs) {
                record.push(place(operand.buffer, operand.start)?);
            }
            if let Some(residual) = draft.residual {
                let residual = residual
                    .map(|one| place(one.buffer, one.start))
                    .transpose()?;
                record.push(residual.map_or(0, |place| place + 1));
            }
            record.extend(&draft.fields);
            Ok((draft.kind, record))
        });
        let made = pass.made.iter().map(|view| {
            let mut record = vec![place(view.buffer, view.start)?];
            push_loops(&mut record, &over([&View::whole(0, &view.shape()), view]))?;
            Ok(record)
        });
        Ok(Half {
            given: place(pass.given, 0)?,
            made: made.collect::<TractResult<_>>()?,
            steps: steps.collect::<TractResult<_>>()?,
        })
    };
    Ok(Arranged {
        tensors,
        blocks,
        numbers,
        spaces,
        constants,
        forward: half(&passes[0])?,
        backward: passes.get(1).map(half).transpose()?,
        read,
    })
}

/// When each buffer is needed; none if nothing reads or writes it.
fn lives(drafts: &[Draft], passes: &[Pass], count: usize) -> Vec<Option<Life>> {
    let mut lives: Vec<Option<Life>> = vec![None; count];
    let mut reach = |buffer: usize, time: usize| {
        let life = lives[buffer].get_or_insert(Life {
            first: time,
            last: time,
        });
        life.reach(time);
    };
    for (pass, offset) in passes.iter().zip(0..) {
        // One moment before each pass and one after it.
        let time = |step: usize| step + 1 + 2 * offset;
        let Range { start, end } = pass.steps;
        reach(pass.given, time(start) - 1);
        for (draft, step) in drafts[start..end].iter().zip(start..) {
            draft
                .operands()
                .for_each(|operand| reach(operand.buffer, time(step)));
        }
        pass.made
            .iter()
            .for_each(|view| reach(view.buffer, time(end)));
    }
    lives
}

/// Lets steps write over what nothing needs any more, unless it `stays`: each buffer with the one whose place it takes.
fn share(
    drafts: &[Draft],
    sizes: &[usize],
    mut lives: Vec<Option<Life>>,
    stays: &dyn Fn(usize, &Life) -> bool,
) -> (Vec<usize>, Vec<Option<Life>>) {
    let mut homes: Vec<usize> = (0..sizes.len()).collect();
    for draft in drafts.iter().filter(|draft| draft.in_place) {
        let old = homes[draft.inputs[0].buffer];
        let new = draft.output.buffer;
        let (Some(before), Some(after)) = (lives[old], lives[new]) else {
            continue;
        };
        let read = draft.inputs[1..]
            .iter()
            .any(|other| homes[other.buffer] == old);
        if stays(old, &before) || read || before.last != after.first || homes[new] != new {
            continue;
        }
        homes[new] = old;
        lives[old] = Some(Life {
            first: before.first,
            last: after.last,
        });
        lives[new] = None;
    }
    (homes, lives)
}

/// The lowest place for each buffer at which it meets no other, the largest first; and what all take.
fn fit(buffers: &[usize], sizes: &[usize], life: &dyn Fn(usize) -> Life) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&at| (Reverse(sizes[buffers[at]]), life(buffers[at]).first));
    let mut starts = vec![0; buffers.len()];
    let mut placed: Vec<(Range<usize>, Life)> = Vec::new();
    let mut all = 0;
    for at in order {
        let (size, mine) = (sizes[buffers[at]].next_multiple_of(LINE), life(buffers[at]));
        let mut start = 0;
        // They are sorted by where they begin.
        for (places, other) in &placed {
            if !mine.meets(other) {
                continue;
            }
            if start + size <= places.start {
                break;
            }
            start = start.max(places.end);
        }
        let places = start..start + size;
        let index = placed.partition_point(|(other, _)| other.start < places.start);
        all = all.max(places.end);
        placed.insert(index, (places, mine));
        starts[at] = start;
    }
    (starts, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_meet_in_time_lie_apart() {
        let mut state = 7u32;
        let mut next = |most: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) % most) as usize
        };
        let sizes: Vec<usize> = (0..200).map(|_| 1 + next(5000)).collect();
        let lives: Vec<Life> = (0..200)
            .map(|_| {
                let first = next(100);
                Life {
                    first,
                    last: first + next(12),
                }
            })
            .collect();
        let buffers: Vec<usize> = (0..200).collect();
        let (starts, all) = fit(&buffers, &sizes, &|buffer| lives[buffer]);
        for a in 0..200 {
            assert!(starts[a] + sizes[a] <= all);
            for b in 0..a {
                let apart = starts[a] + sizes[a] <= starts[b] || starts[b] + sizes[b] <= starts[a];
                assert!(apart || !lives[a].meets(&lives[b]), "{a} and {b}");
            }
        }
        // No more than half above what some moment needs at least.
        let at = |time: usize| {
            let alive = (0..200).filter(|&one| lives[one].first <= time && time <= lives[one].last);
            alive
                .map(|one| sizes[one].next_multiple_of(LINE))
                .sum::<usize>()
        };
        let least = (0..120).map(at).max().unwrap();
        assert!(2 * all <= 3 * least, "{all}, at least {least}");
    }
}
