//! What happens in a run: who comes in which order, and what goes wrong meanwhile.

use serde_json::{Value, json};

/// In which order an invitee is bound and reaches something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// All orders, one as often as the other.
    Any,
    /// The trigger comes before the binding.
    TriggerFirst,
    /// Both at the same moment.
    AtOnce,
}

/// What the nemesis does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// SIGKILL to a worker, which is started again.
    KillWorker,
    /// SIGSTOP to a worker for longer than its leases, then SIGCONT.
    StopWorker,
    /// SIGKILL to PostgreSQL and all its processes, which is started again.
    KillPostgres,
    /// SIGKILL to Redis, which is started again.
    KillRedis,
    /// The connections of a worker with PostgreSQL break, and new ones for a moment.
    CutDatabase,
    /// Nothing passes between a worker and PostgreSQL for some seconds.
    StallDatabase,
    /// The connections of a worker with the payment service break, and new ones for a moment.
    CutPayments,
    /// What passes between a worker and the payment service is later than the deadline of a call.
    DelayPayments,
}

/// What goes wrong in the payment service: names and probabilities, as its command line has them.
type Faults = &'static [(&'static str, f64)];

/// One kind of run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preset {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// People who invite, and how many each of them invites.
    pub(crate) inviters: usize,
    pub(crate) invitees: usize,
    /// Rewards that an inviter may get.
    pub(crate) cap: u32,
    pub(crate) budget_minor: i64,
    pub(crate) order: Order,
    /// Events of one kind that are told of each invitee, all at once.
    pub(crate) events: usize,
    /// How many people are busy at the same time.
    pub(crate) busy: usize,
    /// For how long things go wrong, in seconds.
    pub(crate) seconds: u64,
    pub(crate) blows: &'static [Blow],
    /// What goes wrong in the payment service at first.
    pub(crate) payments: Faults,
    /// What takes its place so many seconds later, and what when the blows are over.
    pub(crate) later: Option<(u64, Faults)>,
    pub(crate) afterwards: Faults,
    pub(crate) delay_milliseconds: u64,
    /// What a call may cost the workers, and how long a lease is: short, so that much is late.
    pub(crate) deadline_milliseconds: u64,
    pub(crate) lease_seconds: u64,
    pub(crate) dedupe_window_seconds: u64,
    /// For how long the work may go on after the last blow, in seconds.
    pub(crate) patience_seconds: u64,
}

impl Preset {
    /// The one with this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|preset| preset.name == name)
    }

    /// Whether nothing goes wrong, so that nothing has to be done twice.
    pub(crate) fn is_calm(&self) -> bool {
        self.blows.is_empty() && self.payments.is_empty()
    }

    /// The campaign's document.
    pub(crate) fn document(&self) -> Value {
        json!({
            "name": "Faults", "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2120-01-01T00:00:00Z",
            "currency": "IDR", "budget_minor": self.budget_minor, "deep_link_path": "/invite/{code}",
            "caps": { "rewards_per_inviter": self.cap },
            "rewards": {
                "credit_granted": { "invitee": { "payment_service_up_to_minor": 2_000 } },
                "loan_disbursed": {
                    "invitee": { "amount_minor": 500 },
                    "inviter": { "prizes": [
                        { "amount_minor": 0, "per_million": 100_000 },
                        { "amount_minor": 300, "per_million": 300_000 },
                        { "amount_minor": 700, "per_million": 300_000 },
                        { "amount_minor": 1_000, "per_million": 300_000 },
                    ] },
                },
            },
            "screening": [{ "check": "device", "most": 1, "mode": "hold" }],
            "apps": { "android_package": "com.example.app" },
            "default_language": "en",
            "texts": { "en": {
                "title": "Join", "description": "Join us.", "invitation": "{inviter} invites you",
                "invitation_without_name": "A friend invites you", "invitee_gets": "You get 10",
                "inviter_gets": "They get 20", "steps": ["Install the app"],
            } },
        })
    }

    /// Faults of the payment service, as its `PUT /faults` takes them.
    pub(crate) fn put(&self, faults_of_it: Faults) -> Value {
        let mut faults = json!({ "delay-ms": self.delay_milliseconds });
        for (name, probability) in faults_of_it {
            let fields = faults.as_object_mut().expect("an object");
            fields.insert((*name).to_owned(), json!(probability));
        }
        faults
    }
}

/// All at once: what a change must survive.
const STORM: Preset = Preset {
    name: "storm",
    inviters: 10,
    invitees: 12,
    cap: 8,
    budget_minor: 1_000_000,
    order: Order::Any,
    events: 2,
    busy: 8,
    seconds: 24,
    blows: &[
        Blow::KillWorker,
        Blow::KillWorker,
        Blow::StopWorker,
        Blow::KillPostgres,
        Blow::KillRedis,
        Blow::CutDatabase,
        Blow::StallDatabase,
        Blow::CutPayments,
        Blow::DelayPayments,
    ],
    payments: &[
        ("drop-before", 0.05),
        ("drop-after", 0.1),
        ("delay", 0.05),
        ("error-before", 0.05),
        ("error-after", 0.1),
    ],
    later: None,
    afterwards: &[],
    delay_milliseconds: 1_500,
    deadline_milliseconds: 1_000,
    lease_seconds: 3,
    dedupe_window_seconds: 86_400,
    patience_seconds: 60,
};

/// The others are made so that one kind of mistake shows for certain.
const ALL: &[Preset] = &[
    STORM,
    // So patient that nobody repeats anything because the machine is busy.
    Preset {
        name: "calm",
        seconds: 6,
        blows: &[],
        payments: &[],
        deadline_milliseconds: 10_000,
        lease_seconds: 25,
        ..STORM
    },
    Preset {
        name: "lost-leases",
        seconds: 20,
        blows: &[Blow::StopWorker],
        // What comes too late for those who wait is there for those who were stopped meanwhile.
        payments: &[("delay", 0.7)],
        delay_milliseconds: 1_500,
        ..STORM
    },
    Preset {
        name: "lost-answers",
        seconds: 10,
        blows: &[],
        payments: &[("drop-after", 0.4), ("error-after", 0.2)],
        ..STORM
    },
    Preset {
        name: "crashes",
        seconds: 20,
        blows: &[Blow::KillWorker],
        payments: &[("delay", 0.5)],
        delay_milliseconds: 700,
        ..STORM
    },
    Preset {
        name: "broken-commits",
        invitees: 30,
        busy: 24,
        seconds: 20,
        blows: &[Blow::CutDatabase, Blow::KillPostgres, Blow::KillWorker],
        payments: &[],
        ..STORM
    },
    Preset { name: "poor", budget_minor: 20_000, seconds: 6, blows: &[], payments: &[], ..STORM },
    Preset { name: "doubled", events: 6, busy: 24, seconds: 6, blows: &[], payments: &[], ..STORM },
    Preset {
        name: "races",
        order: Order::AtOnce,
        invitees: 40,
        cap: 100,
        events: 1,
        busy: 32,
        seconds: 8,
        blows: &[],
        payments: &[],
        patience_seconds: 30,
        ..STORM
    },
    Preset {
        name: "crowds",
        inviters: 3,
        invitees: 60,
        cap: 5,
        events: 1,
        busy: 48,
        seconds: 6,
        blows: &[],
        payments: &[],
        ..STORM
    },
    Preset {
        name: "early-triggers",
        order: Order::TriggerFirst,
        invitees: 30,
        busy: 24,
        seconds: 20,
        blows: &[Blow::KillWorker, Blow::CutDatabase],
        payments: &[],
        patience_seconds: 30,
        ..STORM
    },
    // What was applied and not answered for is forgotten when the payment service works again: it was away for longer
    // than it remembers. Its memory is the shortest that the workers accept. They are patient, so that nobody repeats
    // anything younger.
    Preset {
        name: "short-memory",
        inviters: 3,
        invitees: 8,
        seconds: 75,
        blows: &[],
        payments: &[("drop-after", 1.0)],
        later: Some((10, &[("error-before", 1.0)])),
        afterwards: &[("forget", 1.0)],
        deadline_milliseconds: 10_000,
        lease_seconds: 25,
        dedupe_window_seconds: 60,
        patience_seconds: 150,
        ..STORM
    },
    // These let the payment service do what nobody can bear: here the checker has to find something.
    Preset {
        name: "not-idempotent",
        seconds: 8,
        blows: &[],
        // Workers ask before they send anything again: without a lie now and then, they would not even do that.
        payments: &[("drop-after", 0.3), ("forget", 0.5), ("not-idempotent", 1.0)],
        ..STORM
    },
    Preset {
        name: "forgetful",
        seconds: 8,
        blows: &[],
        payments: &[("drop-after", 0.3), ("forget", 1.0)],
        ..STORM
    },
    // For one thing that goes wrong in each run, and many runs.
    Preset {
        name: "handful",
        inviters: 1,
        invitees: 2,
        events: 1,
        busy: 2,
        seconds: 0,
        blows: &[],
        payments: &[],
        patience_seconds: 30,
        ..STORM
    },
];
