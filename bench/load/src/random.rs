//! Numbers that look random and are the same in every run, so that all servers are asked the same things in the same order.

/// A xorshift generator.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Two streams have nothing to do with one another.
    pub(crate) fn new(stream: u64) -> Random {
        // Any number that is not 0, with many bits set.
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        (0..8).for_each(|_| _ = random.part());
        random
    }

    /// From 0 up to `limit`, which is above 0, but not `limit` itself.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.part() * limit as f64) as usize
    }

    /// From 0 up to 1, but not 1 itself.
    pub(crate) fn part(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_the_limit_comes_as_often() {
        let mut random = Random::new(1);
        let mut counts = [0; 5];
        (0..10_000).for_each(|_| counts[random.below(5)] += 1);
        assert!(counts.iter().all(|count| (1800..2200).contains(count)), "{counts:?}");
    }

    #[test]
    fn streams_differ() {
        let (mut one, mut two) = (Random::new(1), Random::new(2));
        let alike = (0..1000).filter(|_| one.below(10) == two.below(10)).count();
        assert!(alike < 150, "{alike}");
    }

    #[test]
    fn every_run_has_the_same_numbers() {
        let numbers = || {
            let mut random = Random::new(1);
            [(); 9].map(|()| random.below(1000))
        };
        assert_eq!(numbers(), numbers());
    }
}
