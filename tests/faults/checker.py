#!/usr/bin/env python3
"""Judges a run of the fault tests by what is written down, and by nothing else.

    checker.py --driver DRIVER --sandbox SANDBOX --dump DUMP [--dedupe-window SECONDS] [--calm]

DRIVER is the journal of what was asked of Waypost and what it answered, SANDBOX that of the payment service, DUMP what the
database's tables hold when all is quiet again; all are lines of JSON. It shares no code with the program: what is right
stands here once more, in other words. Each thing that is wrong is printed under the name of the invariant that it breaks.
The exit code is 0 if nothing is, 1 if something is, and 2 if the files cannot be understood.
"""

import argparse
import json
import sys
import traceback
from collections import defaultdict
from datetime import datetime, timedelta

# Where work is open, and by which step it is done; under which kind the payment service knows the step.
OPEN = {"CREATE": "draw", "DRAWN": "allot", "REVEALED": "pay"}
CALL_OF_STEP = {"draw": "draw", "allot": "allotment", "pay": "payout", "remind": "message"}
STEP_OF_EVENT = {"draw": "draw", "blank": "draw", "allot": "allot", "pay": "pay", "remind": "remind"}
# What a worker does under a lease; all else is done by requests, people and loops.
BY_LEASE = {"draw", "blank", "allot", "pay"}

MOVES = {
    ("", "grant"): {"CREATE"},
    ("", "hold"): {"REVIEW"},
    ("REVIEW", "approve"): {"CREATE"},
    ("REVIEW", "deny"): {"DENIED"},
    ("DENIED", "compensate"): {"CREATE"},
    ("CREATE", "draw"): {"DRAWN"},
    ("CREATE", "blank"): {"NO_PRIZE"},
    ("CREATE", "park"): {"PARKED"},
    ("DRAWN", "allot"): {"NEW"},
    ("DRAWN", "park"): {"PARKED"},
    ("NEW", "remind"): {"NEW"},
    ("NEW", "reveal"): {"REVEALED"},
    ("NEW", "expire"): {"EXPIRED"},
    ("NEW", "reverse"): {"REVERSED"},
    ("EXPIRED", "compensate"): {"NEW"},
    ("REVEALED", "pay"): {"PAID"},
    ("REVEALED", "park"): {"PARKED"},
    ("PAID", "reverse"): {"REVERSED"},
    ("PARKED", "replay"): {"CREATE", "DRAWN", "REVEALED"},
}

# A transaction's time is that of its beginning, and the ledger is written near its end.
LONGEST_TRANSACTION = timedelta(seconds=10)


def moment(text):
    return datetime.fromisoformat(text)


def lines(path):
    """The whole lines of a journal. What a kill left torn at the end was never acknowledged."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return [json.loads(line) for line in text.split("\n")[:-1] if line]


class Story:
    """What happened, looked up in every way that the invariants need."""

    def __init__(self, driver, sandbox, dump):
        self.driver, self.sandbox = driver, sandbox
        self.tables = defaultdict(list)
        for line in dump:
            self.tables[line["table"]].append(line["row"])
        self.intents = {line["number"]: line for line in driver if line["line"] == "intent"}
        self.answers = [line for line in driver if line["line"] == "answer"]
        self.rewards = {row["id"]: row for row in self.tables["reward"]}
        self.log = defaultdict(list)
        for row in sorted(self.tables["reward_log"], key=lambda row: row["version"]):
            self.log[row["reward_id"]].append(row)
        self.tasks = defaultdict(list)
        for row in self.tables["reward_task"]:
            self.tasks[row["reward_id"]].append(row)
        self.parked = {row["reward_id"]: row for row in self.tables["parked_task"]}
        self.bindings = {(row["campaign_id"], row["invitee"]): row for row in self.tables["binding"]}
        self.documents = {
            (row["campaign_id"], row["version"]): json.loads(row["document"])
            for row in self.tables["campaign_version"]
        }
        self.applied = [line for line in sandbox if line["line"] == "applied"]
        self.seen = [line for line in sandbox if line["line"] == "seen" and line["operation_id"]]
        self.applied_as = defaultdict(list)
        for line in self.applied:
            self.applied_as[line["operation_id"]].append(line)

    def acknowledged(self, what):
        """What was answered with 200 or 201: intents and answers."""
        for answer in self.answers:
            intent = self.intents[answer["number"]]
            if intent["what"] == what and answer["status"] in (200, 201):
                yield intent, answer

    def sides(self, campaign, invitee, kind):
        """The binding of a user, and the sides that earn when this kind is reached."""
        binding = self.bindings.get((campaign, invitee))
        if binding is None:
            return None, []
        document = self.documents[(campaign, binding["campaign_version"])]
        return binding, sorted(document["rewards"].get(kind, {}))

    def by_operation(self):
        """To which reward an operation belongs, by the log and by work that is not finished."""
        owners = defaultdict(set)
        for rows in (self.tables["reward_log"], self.tables["reward_task"], self.tables["parked_task"]):
            for row in rows:
                if row["operation_id"]:
                    owners[row["operation_id"]].add(row["reward_id"])
        return owners

    def operation_of(self, reward_id, step):
        """The operation under which a step was done; None: it was not done, or nobody was asked."""
        for row in reversed(self.log[reward_id]):
            if STEP_OF_EVENT.get(row["event"]) == step:
                return row["operation_id"]
        return None


INVARIANTS = []


def invariant(function):
    """Its name is the function's; what it yields is wrong: a text, and the rows that show it."""
    INVARIANTS.append((function.__name__.replace("_", "-"), function))
    return function


# What was acknowledged


@invariant
def acknowledged_triggers_are_stored(story):
    stored = {(row["campaign_id"], row["source"], row["event_id"]): row for row in story.tables["trigger_event"]}
    for intent, answer in story.acknowledged("trigger"):
        body = answer["body"]
        row = stored.get((body["campaign"], body["source"], body["event_id"]))
        if row is None:
            yield "an acknowledged trigger is not in the database", intent, answer
        elif row["id"] != body["id"]:
            yield f"a trigger was acknowledged as {body['id']} and stored as {row['id']}", answer, row
        elif (row["user_id"], row["kind"]) != (intent["body"]["user"], intent["body"]["kind"]):
            yield "a trigger was stored with other contents than were acknowledged", intent, row


@invariant
def an_event_has_one_answer(story):
    first = {}
    for intent, answer in story.acknowledged("trigger"):
        key = intent["body"]["event_id"]
        if key in first and (first[key][0]["body"], first[key][1]["body"]) != (intent["body"], answer["body"]):
            yield "one event was acknowledged in two ways", *first[key], intent, answer
        first.setdefault(key, (intent, answer))


@invariant
def acknowledged_bindings_are_stored(story):
    for intent, answer in story.acknowledged("binding"):
        row = story.bindings.get((answer["body"]["campaign"], intent["body"]["invitee"]))
        if row is None or row["inviter"] != intent["inviter"]:
            yield "an acknowledged binding is not in the database", intent, answer, row


@invariant
def acknowledged_reveals_are_kept(story):
    for intent, answer in story.acknowledged("reveal"):
        reward = story.rewards.get(intent["reward"])
        revealed = reward and any(row["event"] == "reveal" for row in story.log[reward["id"]])
        if not revealed or reward["amount_minor"] != answer["body"]["amount_minor"]:
            yield "a card was revealed, and the database has it otherwise", intent, answer, reward


# What is earned


@invariant
def what_is_earned_is_granted(story):
    there = defaultdict(list)
    for row in story.rewards.values():
        there[(row["campaign_id"], row["invitee"], row["kind"], row["side"])].append(row)
    owed = {}
    for intent, answer in story.acknowledged("trigger"):
        key = (answer["body"]["campaign"], intent["body"]["user"], intent["body"]["kind"])
        for side in story.sides(*key)[1]:
            owed[(*key, side)] = (intent, answer)
    for key, (intent, answer) in owed.items():
        if not there[key]:
            yield f"nothing was granted for {key}", intent, answer
    for key, rows in there.items():
        if len(rows) > 1:
            yield f"{len(rows)} rewards for {key}", *rows


@invariant
def what_is_granted_was_earned(story):
    reached = {(row["campaign_id"], row["user_id"], row["kind"]) for row in story.tables["trigger_event"]}
    for row in story.rewards.values():
        binding, sides = story.sides(row["campaign_id"], row["invitee"], row["kind"])
        if row["side"] not in sides or (row["campaign_id"], row["invitee"], row["kind"]) not in reached:
            yield "a reward that nobody earned", row, binding
        elif row["beneficiary"] != (binding["inviter"] if row["side"] == "inviter" else binding["invitee"]):
            yield "a reward of somebody else", row, binding


@invariant
def people_look_first_at_bindings_that_are_held(story):
    for row in story.rewards.values():
        binding = story.bindings.get((row["campaign_id"], row["invitee"]))
        if binding and binding["state"] == "held" and story.log[row["id"]] and row["state"] != "REVIEW":
            if not any(step["event"] in ("approve", "deny") for step in story.log[row["id"]]):
                yield "a reward of a held binding went on without anybody's word", row, binding


@invariant
def no_inviter_has_more_than_the_cap(story):
    granted, held = defaultdict(list), defaultdict(list)
    for row in story.rewards.values():
        if row["side"] != "inviter":
            continue
        begins = story.log[row["id"]][:1]
        key = (row["campaign_id"], row["beneficiary"])
        kind = begins[0]["event"] if begins else None
        (granted if kind == "grant" else held)[key].append((row, begins))
    for key in granted.keys() | held.keys():
        versions = [row["campaign_version"] for row, _ in granted[key] + held[key]]
        caps = [story.documents[(key[0], version)].get("caps", {}) for version in versions]
        cap = max(caps.get("rewards_per_inviter", 20) for caps in caps)
        if len(granted[key]) > cap:
            yield f"{len(granted[key])} rewards for {key[1]}, of whom {cap} are allowed", *[row for row, _ in granted[key]]
        # Whom the cap stopped while there was room for more.
        stopped = [row for row, begins in held[key] if begins and "cap" in (begins[0]["reason"] or "")]
        if stopped and len(granted[key]) < cap:
            yield f"only {len(granted[key])} rewards for {key[1]}, and yet the cap of {cap} stopped some", *stopped
    counted = {(row["campaign_id"], row["inviter"]): row for row in story.tables["inviter_tally"]}
    for key, rewards in granted.items():
        row = counted.get(key)
        if rewards and (row is None or row["rewards"] < len(rewards)):
            yield f"{len(rewards)} rewards for {key[1]}, and the tally knows fewer", row


# Work


@invariant
def all_work_is_done(story):
    for row in story.rewards.values():
        if row["state"] in OPEN:
            yield f"a reward is still in {row['state']}", row, *story.tasks[row["id"]]
    for rows in story.tasks.values():
        for row in rows:
            yield f"there is still something to {row['step']}", row


@invariant
def there_is_a_task_just_while_work_is_open(story):
    for row in story.rewards.values():
        steps = sorted(task["step"] for task in story.tasks[row["id"]] if task["step"] != "remind")
        wanted = [OPEN[row["state"]]] if row["state"] in OPEN else []
        if steps != wanted:
            yield f"in {row['state']} there are tasks for {steps or 'nothing'}", row, *story.tasks[row["id"]]
        if (row["state"] == "PARKED") != (row["id"] in story.parked):
            yield "parked, or not, and its task otherwise", row, story.parked.get(row["id"])
        elif row["state"] == "PARKED" and story.parked[row["id"]]["step"] != OPEN[row["parked_in"]]:
            yield "parked with another step", row, story.parked[row["id"]]
    for reward_id, rows in story.tasks.items():
        if reward_id not in story.rewards:
            yield "a task of no reward", *rows


@invariant
def calm_work_is_asked_for_once(story):
    """Where nothing goes wrong, nobody has a reason to send anything twice."""
    if not story.calm:
        return
    times = defaultdict(list)
    for line in story.seen:
        times[line["operation_id"]].append(line)
    for rows in times.values():
        if len(rows) > 1:
            yield f"asked for {len(rows)} times, though nothing went wrong", *rows


# The payment service


@invariant
def an_operation_is_applied_once(story):
    for rows in story.applied_as.values():
        if len(rows) > 1:
            yield f"applied {len(rows)} times", *rows


@invariant
def a_reward_is_paid_once(story):
    payouts, owners = defaultdict(list), story.by_operation()
    for line in story.applied:
        if line["kind"] == "payout":
            payouts[(line["campaign"], line["reward"])].append(line)
    for rows in payouts.values():
        if len(rows) > 1:
            yield f"{len(rows)} payouts", *rows
    for operation, rewards in owners.items():
        if len(rewards) > 1:
            yield f"operation {operation} belongs to rewards {sorted(rewards)}"


@invariant
def a_step_has_one_operation(story):
    operations = defaultdict(set)
    for line in story.applied:
        if line["kind"] != "message":
            operations[(line["campaign"], line["reward"], line["kind"])].add(line["operation_id"])
    for key, ids in operations.items():
        if len(ids) > 1:
            yield f"{key} was applied under {sorted(ids)}", *[line for id in sorted(ids) for line in story.applied_as[id]]
    # An operation of nobody was sent under an id that was made up on the way.
    owners = story.by_operation()
    for line in story.seen:
        if line["kind"] in ("draw", "allotment", "payout") and line["operation_id"] not in owners:
            yield "sent, and nothing in the database has this operation", line


@invariant
def an_operation_has_the_same_bytes_each_time(story):
    bytes_of = defaultdict(dict)
    for line in story.seen:
        bytes_of[line["operation_id"]].setdefault((line["kind"], line["request_sha256"]), line)
    for different in bytes_of.values():
        if len(different) > 1:
            yield "one operation was asked for in different words", *different.values()


@invariant
def nothing_is_sent_after_the_dedupe_window(story):
    first = {}
    for line in story.seen:
        # What was refused or lost before it was applied is as if it had never been sent.
        if line["decision"].startswith("applied"):
            first.setdefault(line["operation_id"], line)
        begin = first.get(line["operation_id"], line)
        if moment(line["at"]) - moment(begin["at"]) > timedelta(seconds=story.dedupe_window):
            yield f"sent again later than {story.dedupe_window} s after it was applied", begin, line


def disagreements(story, reward, step):
    """In which fields a step that is done here is otherwise there."""
    operation = story.operation_of(reward["id"], step)
    applied = story.applied_as.get(operation, [])
    if not applied:
        return [f"{step} is done here, and the payment service never applied {operation}"]
    wanted = {"kind": CALL_OF_STEP[step], "amount_minor": reward["amount_minor"], "currency": reward["currency"],
              "beneficiary": reward["beneficiary"], "campaign": reward["campaign_id"]}
    found = applied[0]
    return [f"{step}: {name} is {value} here and {found[name]} there" for name, value in wanted.items() if found[name] != value]


@invariant
def books_and_payment_service_agree(story):
    done_here, names = set(), {}
    for reward in story.rewards.values():
        events = {row["event"] for row in story.log[reward["id"]]}
        for step in ("allot", "pay"):
            if step in events:
                done_here.add(story.operation_of(reward["id"], step))
                for wrong in disagreements(story, reward, step):
                    yield wrong, reward, *story.applied_as.get(story.operation_of(reward["id"], step), [])
        if reward["state"] == "PAID" and "pay" not in events:
            yield "PAID without a payout", reward
        if reward["state"] in ("NEW", "REVEALED", "PAID", "EXPIRED") and "allot" not in events:
            yield f"{reward['state']} without an allotment", reward
    # Of what is parked nobody knows what became of it: that is why it is.
    unknown = {row["operation_id"] for row in story.parked.values()}
    owners = story.by_operation()
    for line in story.applied:
        if line["kind"] in ("allotment", "payout") and line["operation_id"] not in done_here | unknown:
            yield f"the payment service applied this {line['kind']}, and the books do not know it", line
        # One name for a reward there, one number here.
        for reward_id in owners.get(line["operation_id"], ()):
            if line["kind"] != "message" and names.setdefault((line["campaign"], line["reward"]), reward_id) != reward_id:
                yield f"the payment service has one name for rewards {names[line['campaign'], line['reward']]} and {reward_id}", line


@invariant
def a_reward_has_one_amount(story):
    owners = story.by_operation()
    amounts = defaultdict(dict)
    for reward_id, rows in story.log.items():
        for row in rows:
            if row["amount_minor"] is not None:
                amounts[reward_id].setdefault(row["amount_minor"], row)
    for line in story.applied:
        for reward_id in owners.get(line["operation_id"], ()):
            if line["kind"] != "message" and line["amount_minor"] is not None:
                amounts[reward_id].setdefault(line["amount_minor"], line)
    for reward_id, different in amounts.items():
        if len(different) > 1:
            yield f"reward {reward_id} came to {sorted(different)}", *different.values()
    for reward in story.rewards.values():
        if reward["amount_minor"] is not None and not 0 <= reward["amount_minor"] <= reward["most_minor"]:
            yield "more than it can come to", reward


# The log


@invariant
def the_log_has_no_gaps_and_only_moves_that_there_are(story):
    for reward_id, rows in story.log.items():
        state = ""
        for version, row in enumerate(rows, start=1):
            if row["version"] != version:
                yield f"version {row['version']} where {version} should be", row
            if row["from_state"] != state:
                yield f"from {row['from_state'] or 'nothing'}, but it stood in {state or 'nothing'}", row
            if row["to_state"] not in MOVES.get((row["from_state"], row["event"]), ()):
                yield "there is no such move", row
            state = row["to_state"]
        if reward_id not in story.rewards:
            yield "a log of no reward", *rows
    for row in story.rewards.values():
        last = story.log[row["id"]][-1] if story.log[row["id"]] else None
        fields = ("version", "event", "reason", "actor", "operation_id", "epoch", "lease_epoch", "amount_minor")
        if last is None or last["to_state"] != row["state"] or any(last[name] != row[name] for name in fields):
            yield "the last step in the log is not where the reward stands", row, last


@invariant
def steps_are_done_by_whoever_has_the_lease(story):
    for rows in story.log.values():
        for row in rows:
            if row["epoch"] != row["lease_epoch"]:
                yield f"done under lease {row['epoch']} while {row['lease_epoch']} was in force", row
            elif row["event"] in BY_LEASE and row["epoch"] is None:
                yield "done under no lease", row


# The books


@invariant
def accounts_are_the_sum_of_the_ledger(story):
    sums = defaultdict(lambda: defaultdict(int))
    for row in story.tables["ledger"]:
        sums[row["campaign_id"]][row["debit"]] -= row["amount_minor"]
        sums[row["campaign_id"]][row["credit"]] += row["amount_minor"]
    for row in story.tables["campaign_account"]:
        campaign = sums.pop(row["campaign_id"], defaultdict(int))
        for account in ("budget", "promised", "paid"):
            if row[f"{account}_minor"] != campaign[account]:
                yield f"{account} is {row[f'{account}_minor']}, and its ledger comes to {campaign[account]}", row
            if row[f"{account}_minor"] < 0:
                yield f"{account} is below nothing", row
        if row["budget_minor"] + row["promised_minor"] + row["paid_minor"] != -campaign["funds"]:
            yield f"there is more or less in the accounts than the {-campaign['funds']} that were given", row
    for campaign in sums:
        yield f"a ledger without accounts: {campaign}"


@invariant
def accounts_are_what_the_rewards_say(story):
    promised, paid = defaultdict(int), defaultdict(int)
    for row in story.rewards.values():
        state = row["parked_in"] or row["state"]
        if state == "CREATE":
            promised[row["campaign_id"]] += row["most_minor"]
        elif state in ("DRAWN", "NEW", "REVEALED"):
            promised[row["campaign_id"]] += row["amount_minor"]
        elif state == "PAID":
            paid[row["campaign_id"]] += row["amount_minor"]
    for row in story.tables["campaign_account"]:
        found = (row["promised_minor"], row["paid_minor"])
        wanted = (promised.pop(row["campaign_id"], 0), paid.pop(row["campaign_id"], 0))
        if found != wanted:
            yield f"promised and paid are {found}, and the rewards say {wanted}", row
    for campaign in promised.keys() | paid.keys():
        yield f"rewards without accounts: {campaign}"


@invariant
def no_more_was_ever_promised_than_there_was(story):
    """At no moment. What came back is counted early, because the ledger's times are those of beginnings."""
    moves = defaultdict(list)
    for row in story.tables["ledger"]:
        at = moment(row["at"])
        if row["credit"] == "budget":
            moves[row["campaign_id"]].append((at - LONGEST_TRANSACTION, row["amount_minor"], row))
        elif row["debit"] == "budget":
            moves[row["campaign_id"]].append((at, -row["amount_minor"], row))
    for rows in moves.values():
        left = 0
        for _, amount, row in sorted(rows, key=lambda entry: (entry[0], -entry[1])):
            left += amount
            if left < 0:
                yield f"{-left} more was promised than there was", row


def check(story):
    """All that is wrong: the invariant, the text, the rows."""
    return [(name, *found) for name, function in INVARIANTS for found in map(as_tuple, function(story))]


def as_tuple(found):
    return found if isinstance(found, tuple) else (found,)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name in ("driver", "sandbox", "dump"):
        parser.add_argument(f"--{name}", required=True, metavar="FILE")
    parser.add_argument("--dedupe-window", type=int, default=86400, metavar="SECONDS")
    parser.add_argument("--calm", action="store_true", help="nothing was made to go wrong in this run")
    return parser.parse_args()


def main():
    given = arguments()
    try:
        story = Story(lines(given.driver), lines(given.sandbox), lines(given.dump))
        story.dedupe_window, story.calm = given.dedupe_window, given.calm
        wrong = check(story)
    except (OSError, ValueError, LookupError, TypeError) as error:
        # No verdict, which is neither a good nor a bad one.
        traceback.print_exc()
        print(f"cannot be understood: {error!r}")
        return 2
    names = defaultdict(int)
    for name, text, *rows in wrong:
        names[name] += 1
        # The first ones of a kind say it; a thousand more say nothing else.
        if names[name] <= 5:
            print(f"violated {name}: {text}")
            for row in rows[:6]:
                print(f"    {json.dumps(row)}")
    for name, count in names.items():
        print(f"total {name} {count}")
    states = defaultdict(int)
    for row in story.rewards.values():
        states[row["state"]] += 1
    print("rewards " + " ".join(f"{state}={count}" for state, count in sorted(states.items())))
    print(f"checked {len(INVARIANTS)} invariants on {len(story.rewards)} rewards: {len(wrong)} violations")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
