//! Figures that a worker publishes as it finds them, each in a cell of memory that the workers share: unlike a counter, a cell is
//! written as a whole.

/// How the figures of several workers make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What was counted: added up, and kept when its worker has left.
    Counter,
    /// What there is: added up.
    Sum,
    /// The largest speaks for all.
    Max,
}

/// Declares a structure of figures, and one of the cells that they are published in.
macro_rules! figures {
    ($(#[$meta:meta])* $vis:vis struct $figures:ident in $cells:ident {
        $($(#[$doc:meta])* $field:ident: $kind:ident,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        $vis struct $figures {
            $($(#[$doc])* pub $field: u64,)*
        }

        /// The cells that they are published in.
        #[derive(Debug, Default)]
        pub(crate) struct $cells {
            $($field: std::sync::atomic::AtomicU64,)*
        }

        crate::sys::shared_memory::atomics_only!($cells { $($field),* });

        impl $cells {
            /// Publishes the figures, in place of those before.
            pub(crate) fn publish(&self, figures: &$figures) {
                $(self.$field.store(figures.$field, std::sync::atomic::Ordering::Relaxed);)*
            }

            /// The figures that were published last.
            pub(crate) fn read(&self) -> $figures {
                $figures { $($field: self.$field.load(std::sync::atomic::Ordering::Relaxed),)* }
            }
        }

        impl crate::stats::counter::AddUp for $cells {
            fn add(&self, other: &Self, of: crate::stats::counter::Of) {
                use std::sync::atomic::Ordering::Relaxed;

                use crate::stats::{counter::Of, figures::Kind};

                $(match (Kind::$kind, of) {
                    (Kind::Counter, _) | (Kind::Sum, Of::Living) => {
                        self.$field.fetch_add(other.$field.load(Relaxed), Relaxed);
                    }
                    (Kind::Max, Of::Living) => {
                        self.$field.fetch_max(other.$field.load(Relaxed), Relaxed);
                    }
                    (_, Of::Departed) => {}
                })*
            }

            fn reset(&self) {
                self.publish(&$figures::default());
            }
        }
    };
}

pub(crate) use figures;
