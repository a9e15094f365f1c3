//! Bugs that can be put in on purpose, so that `tests/faults` can show that it would find them: a checker that never
//! found anything proves nothing. Knows nothing of the rest; everybody may know it.
//!
//! Without the cargo feature `planted-bugs`, which no build for use has, [`planted`] is `false` and [`struck`] is
//! [`Struck::No`] at compile time, and what hangs on them is not in the program. With it, the environment variable
//! `WAYPOST_PLANTED` says which, separated by commas: the names of bugs, and at most one stroke such as `kill:sent:3`,
//! which kills the process when it comes to that boundary for the third time (`fail` and `repeat` likewise).

/// A mistake that somebody could make in the engine. Each is one that others have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A step is recorded whoever has the lease: the epoch is not compared, only state and version.
    NoEpochCheck,
    /// Each attempt is sent under an operation id of its own, instead of the one that was stored before the first.
    NewOperationIdPerRetry,
    /// The drawn amount is not stored before it is allotted, but together with the answer: whoever takes the work up
    /// after a crash draws again.
    DrawAgainAfterCrash,
    /// A trigger is acknowledged before the transaction that stores it is committed.
    AcknowledgeBeforeCommit,
    /// What fails inside the transaction of a trigger is ignored, so that the commit stores nothing and yet succeeds.
    SwallowedSqlError,
    /// A reward is inserted without regard to one that is there already. The harness takes the unique key `reward_key`
    /// out of the database besides.
    MissingUniqueKey,
    /// Triggers and bindings do not lock their user.
    NoBindLock,
    /// The user is locked by the statement that reads, whose snapshot is older than the lock.
    LockInReadingStatement,
    /// The cap is compared with a count of the rewards that are there, instead of being reserved by an update.
    CapBySumThenInsert,
    /// Due work is read by one statement and marked as taken by another, with no lock in between.
    ClaimWithoutLock,
    /// Nobody looks again at triggers, bindings and work that were left behind.
    SweeperOff,
    /// A request is sent again however long ago it was sent first.
    ResendAfterDedupeWindow,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::NoEpochCheck,
        Self::NewOperationIdPerRetry,
        Self::DrawAgainAfterCrash,
        Self::AcknowledgeBeforeCommit,
        Self::SwallowedSqlError,
        Self::MissingUniqueKey,
        Self::NoBindLock,
        Self::LockInReadingStatement,
        Self::CapBySumThenInsert,
        Self::ClaimWithoutLock,
        Self::SweeperOff,
        Self::ResendAfterDedupeWindow,
    ];

    /// Its name in `WAYPOST_PLANTED`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoEpochCheck => "no-epoch-check",
            Self::NewOperationIdPerRetry => "new-operation-id-per-retry",
            Self::DrawAgainAfterCrash => "draw-again-after-crash",
            Self::AcknowledgeBeforeCommit => "acknowledge-before-commit",
            Self::SwallowedSqlError => "swallowed-sql-error",
            Self::MissingUniqueKey => "missing-unique-key",
            Self::NoBindLock => "no-bind-lock",
            Self::LockInReadingStatement => "lock-in-reading-statement",
            Self::CapBySumThenInsert => "cap-by-sum-then-insert",
            Self::ClaimWithoutLock => "claim-without-lock",
            Self::SweeperOff => "sweeper-off",
            Self::ResendAfterDedupeWindow => "resend-after-dedupe-window",
        }
    }
}

/// A place between two steps of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Work was claimed, and nothing was done yet.
    Claimed,
    /// An amount was drawn, and is known to this process alone.
    Drawn,
    /// The amount and the bytes of the request that follows are stored.
    Recorded,
    /// A request is on its way, and nobody has seen an answer.
    Sent,
    /// The answer is known to this process alone.
    Answered,
    /// The step is stored as done.
    Completed,
}

impl Boundary {
    /// All of them, in the order in which a worker comes to them.
    pub const ALL: [Self; 6] =
        [Self::Claimed, Self::Drawn, Self::Recorded, Self::Sent, Self::Answered, Self::Completed];

    /// Its name in `WAYPOST_PLANTED`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Drawn => "drawn",
            Self::Recorded => "recorded",
            Self::Sent => "sent",
            Self::Answered => "answered",
            Self::Completed => "completed",
        }
    }
}

/// What strikes at a boundary. The third way, being killed, returns to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Struck {
    /// Nothing.
    No,
    /// The worker has to let go of what it has in hand, as if what came last had failed.
    Fail,
    /// The worker has to do what came last once more.
    Repeat,
}

/// Whether this bug was put in.
#[cfg(not(feature = "planted-bugs"))]
pub const fn planted(_bug: Bug) -> bool {
    false
}

/// What strikes here, this time.
#[cfg(not(feature = "planted-bugs"))]
pub const fn struck(_at: Boundary) -> Struck {
    Struck::No
}

#[cfg(feature = "planted-bugs")]
pub use chosen::{planted, struck};

#[cfg(feature = "planted-bugs")]
mod chosen;
