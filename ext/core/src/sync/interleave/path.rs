//! The choices of one run, and which run comes after it.

/// What was chosen at each point that had a choice, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// The option taken, and how many there were.
    choices: Vec<(usize, usize)>,
    depth: usize,
}

impl Path {
    /// The next choice among so many: as it is laid down, then the first.
    pub(super) fn choose(&mut self, options: usize) -> usize {
        if options == 1 {
            return 0;
        }
        if self.depth == self.choices.len() {
            self.choices.push((0, options));
        }
        let (chosen, known) = self.choices[self.depth];
        assert_eq!(options, known, "the scenario does not do the same each time");
        self.depth += 1;
        chosen
    }

    /// Lays down the run after this one. Returns whether there is one.
    pub(super) fn advance(&mut self) -> bool {
        self.depth = 0;
        while let Some((chosen, options)) = self.choices.pop() {
            if chosen + 1 < options {
                self.choices.push((chosen + 1, options));
                return true;
            }
        }
        false
    }
}
