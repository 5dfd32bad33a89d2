//! Where the values of a run lie. Places are counted through three spaces: constants, what is kept for the gradient, and
//! what is overwritten.

use std::ops::Range;

/// Sizes of the spaces, in values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Written when the plan is read.
    pub constants: usize,
    /// Written by the forward pass, read by the gradient: one for each run that is kept.
    pub kept: usize,
    /// Written by both.
    pub work: usize,
}

/// The three spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Constants,
    Kept,
    Work,
}

impl Sizes {
    /// All places; none if they cannot be counted.
    pub fn total(&self) -> Option<usize> {
        self.constants
            .checked_add(self.kept)?
            .checked_add(self.work)
    }

    /// The places of a space.
    pub fn of(&self, space: Space) -> Range<usize> {
        let kept = self.constants + self.kept;
        match space {
            Space::Constants => 0..self.constants,
            Space::Kept => self.constants..kept,
            Space::Work => kept..kept + self.work,
        }
    }

    /// The space that holds all of these places; none if they are in no one space.
    pub fn space(&self, places: &Range<usize>) -> Option<Space> {
        let spaces = [Space::Constants, Space::Kept, Space::Work];
        let holds = |space: &Space| {
            let all = self.of(*space);
            places.start <= places.end && all.start <= places.start && places.end <= all.end
        };
        spaces.into_iter().find(holds)
    }
}

/// The values of a run.
pub struct Memory<'a> {
    pub sizes: Sizes,
    pub constants: &'a [f32],
    pub kept: Kept<'a>,
    pub work: &'a mut [f32],
}

/// The kept values: a gradient only reads them.
pub enum Kept<'a> {
    Read(&'a [f32]),
    Write(&'a mut [f32]),
}

/// The values around those that a step writes.
pub struct Around<'a>([(usize, &'a [f32]); 4]);

impl<'a> Around<'a> {
    /// The values at these places.
    ///
    /// # Panics
    /// For places that are written, or in several spaces: [`super::read`] refuses such steps.
    pub fn get(&self, places: &Range<usize>) -> &'a [f32] {
        let found = self.0.iter().find_map(|(start, values)| {
            let from = places.start.checked_sub(*start)?;
            values.get(from..from + places.len())
        });
        found.expect("a place beside those that are written")
    }
}

impl Memory<'_> {
    /// The values at places that a step writes, and all others.
    ///
    /// # Panics
    /// For places that are not in one of the spaces that may be written.
    pub fn part(&mut self, places: &Range<usize>) -> (&mut [f32], Around<'_>) {
        let [kept, work] = [Space::Kept, Space::Work].map(|space| self.sizes.of(space).start);
        let constants = (0, self.constants);
        let others: &[f32] = match (&mut self.kept, places.start < work) {
            (Kept::Write(values), true) => {
                let (before, rest) = values.split_at_mut(places.start - kept);
                let (written, after) = rest.split_at_mut(places.len());
                let around = [
                    constants,
                    (kept, &*before),
                    (places.end, &*after),
                    (work, &*self.work),
                ];
                return (written, Around(around));
            }
            (Kept::Write(values), false) => values,
            (Kept::Read(values), _) => values,
        };
        let (before, rest) = self.work.split_at_mut(places.start - work);
        let (written, after) = rest.split_at_mut(places.len());
        let around = [
            constants,
            (kept, others),
            (work, &*before),
            (places.end, &*after),
        ];
        (written, Around(around))
    }

    /// The values at places of one space.
    ///
    /// # Panics
    /// For places that are in no one space.
    pub fn get(&self, places: &Range<usize>) -> &[f32] {
        let space = self.sizes.space(places).expect("places of one space");
        let values: &[f32] = match (space, &self.kept) {
            (Space::Constants, _) => self.constants,
            (Space::Kept, Kept::Read(values)) => values,
            (Space::Kept, Kept::Write(values)) => values,
            (Space::Work, _) => self.work,
        };
        let start = self.sizes.of(space).start;
        &values[places.start - start..places.end - start]
    }

    /// The values at places that may be written.
    ///
    /// # Panics
    /// Those of [`Memory::part`].
    pub fn get_mut(&mut self, places: &Range<usize>) -> &mut [f32] {
        self.part(places).0
    }
}
