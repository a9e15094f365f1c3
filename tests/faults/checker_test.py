#!/usr/bin/env python3
"""The checker finds nothing in a run that went well, and in each that went wrong just what went wrong.

The run is made up: ann has invited ben, cid and dee, and may get two rewards. Each story that follows changes one thing in
it; at least one story breaks each invariant.
"""

import copy
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import checker

CAMPAIGN = "faults"
DOCUMENT = {
    "currency": "IDR",
    "caps": {"rewards_per_inviter": 2},
    "rewards": {"loan": {"inviter": {"prizes": []}, "invitee": {"amount_minor": 100}}},
}
# Which call of the payment service each event of a worker stands for.
CALLS = {"allot": "allotment", "pay": "payout"}
PATH = ["grant", "draw", "allot", "reveal", "pay"]
STATES = {"hold": "REVIEW", "grant": "CREATE", "draw": "DRAWN", "allot": "NEW", "reveal": "REVEALED", "pay": "PAID"}


def at(second):
    return f"2026-11-24T10:00:{second:02}+00:00"


class Run:
    """The journals and the dump of a run, as they are being written."""

    def __init__(self):
        self.driver, self.sandbox, self.dump = [], [], []
        self.row("campaign_version", campaign_id=CAMPAIGN, version=1, document=json.dumps(DOCUMENT))
        self.promised = self.paid = 0
        self.second = 0
        self.row("ledger", campaign_id=CAMPAIGN, reward_id=None, reward_version=None, debit="funds", credit="budget",
                 amount_minor=10_000, at=at(0))

    def row(self, table, **row):
        self.dump.append({"table": table, "row": row})
        return row

    def asked(self, what, status, body, answer, **more):
        number = len(self.driver)
        self.driver.append({"line": "intent", "number": number, "what": what, "body": body, **more})
        self.driver.append({"line": "answer", "number": number, "status": status, "body": answer})

    def bind(self, invitee, inviter="ann"):
        self.asked("binding", 201, {"invitee": invitee}, {"campaign": CAMPAIGN, "invitee": invitee}, inviter=inviter)
        self.row("binding", campaign_id=CAMPAIGN, invitee=invitee, inviter=inviter, campaign_version=1, state="bound")

    def trigger(self, number, user):
        event = f"e-{number}"
        view = {"id": number, "campaign": CAMPAIGN, "source": "bank", "event_id": event}
        self.asked("trigger", 201, {"event_id": event, "user": user, "kind": "loan"}, view)
        self.row("trigger_event", campaign_id=CAMPAIGN, source="bank", event_id=event, id=number, user_id=user, kind="loan")

    def called(self, event, reward, amount):
        self.second += 1
        call = {"kind": CALLS[event], "operation_id": f"{reward['id']}-{event}", "request_sha256": f"{reward['id']}{event}",
                "at": at(self.second)}
        self.sandbox.append({"line": "applied", "campaign": CAMPAIGN, "reward": str(reward["id"]), "currency": "IDR",
                             "beneficiary": reward["beneficiary"], "amount_minor": amount, **call})
        self.sandbox.append({"line": "seen", "decision": "applied", **call})

    def reward(self, number, invitee, side, events, amount=40):
        beneficiary = "ann" if side == "inviter" else invitee
        reward = self.row("reward", id=number, campaign_id=CAMPAIGN, campaign_version=1, invitee=invitee, kind="loan",
                          side=side, beneficiary=beneficiary, currency="IDR", most_minor=100, parked_in=None)
        state, promised = "", 0
        for version, event in enumerate(events, start=1):
            if event in CALLS:
                self.called(event, reward, amount)
            step = {"event": event, "reason": "cap" if event == "hold" else None, "actor": "a test", "version": version,
                    "operation_id": f"{number}-{event}" if event in CALLS else None,
                    "epoch": 1 if event in checker.BY_LEASE else None, "lease_epoch": 1 if event in checker.BY_LEASE else None,
                    "amount_minor": amount if event not in ("hold", "grant") else None}
            reward.update(step, state=STATES[event])
            self.row("reward_log", reward_id=number, from_state=state, to_state=STATES[event], at=at(version), **step)
            state = STATES[event]
            for known, debit, credit, minor in (("grant", "budget", "promised", 100), ("draw", "promised", "budget", 100 - amount),
                                                ("pay", "promised", "paid", amount)):
                if event == known:
                    self.row("ledger", campaign_id=CAMPAIGN, reward_id=number, reward_version=version, debit=debit,
                             credit=credit, amount_minor=minor, at=at(version))
            promised = {"grant": 100, "pay": 0, "hold": 0}.get(event, amount)
        self.promised += promised
        self.paid += amount if state == "PAID" else 0
        if state == "NEW":
            return reward
        if "reveal" in events:
            self.asked("reveal", 200, {"user": beneficiary}, {"amount_minor": amount}, reward=number)
        return reward

    def end(self):
        self.row("campaign_account", campaign_id=CAMPAIGN, budget_minor=10_000 - self.promised - self.paid,
                 promised_minor=self.promised, paid_minor=self.paid)
        self.row("inviter_tally", campaign_id=CAMPAIGN, inviter="ann", rewards=2, lifted=0, allowed=2)
        return self


def good():
    run = Run()
    for number, user in enumerate(("ben", "cid", "dee"), start=1):
        run.bind(user)
        run.trigger(number, user)
    run.reward(1, "ben", "inviter", PATH)
    run.reward(2, "ben", "invitee", PATH[:3])
    run.reward(3, "cid", "inviter", PATH[:3])
    run.reward(4, "cid", "invitee", PATH)
    run.reward(5, "dee", "inviter", ["hold"])
    run.reward(6, "dee", "invitee", PATH[:3])
    # Sent again after an answer was lost: the same bytes, not applied once more.
    again = next(line for line in run.sandbox if line["line"] == "seen")
    run.sandbox.append({**again, "decision": "repeated", "at": at(40)})
    return run.end()


def broken_by(run, calm=False):
    """The invariants that a run breaks."""
    story = checker.Story(run.driver, run.sandbox, run.dump)
    story.dedupe_window, story.calm = 50, calm
    return {name for name, *_ in checker.check(story)}


def rows(run, table, **wanted):
    found = [line["row"] for line in run.dump if line["table"] == table]
    return [row for row in found if all(row.get(name) == value for name, value in wanted.items())]


def drop(run, table, **wanted):
    gone = rows(run, table, **wanted)
    assert gone, f"the story has no such row of {table}"
    run.dump = [line for line in run.dump if line["table"] != table or line["row"] not in gone]


def applied(run, operation):
    return next(line for line in run.sandbox if line["line"] == "applied" and line["operation_id"] == operation)


def change(table, values, **wanted):
    """A story in which a row holds other values."""
    def tell(run):
        found = rows(run, table, **wanted)
        assert found, f"the story has no such row of {table}"
        found[0].update(values)
    return tell


def answered(what, status=200, **fields):
    """A story in which a question was answered in another way, once more."""
    def tell(run):
        intent = next(line for line in run.driver if line.get("what") == what)
        answer = next(line for line in run.driver if line["line"] == "answer" and line["number"] == intent["number"])
        number = len(run.driver)
        run.driver.append({**copy.deepcopy(intent), "number": number})
        run.driver.append({"line": "answer", "number": number, "status": status, "body": {**answer["body"], **fields}})
    return tell


def lost(table, **wanted):
    return lambda run: drop(run, table, **wanted)


def sent(operation, decision="repeated", **fields):
    """A story in which a request comes once more, perhaps in other words, perhaps applied again."""
    def tell(run):
        line = {**applied(run, operation), **fields}
        if decision != "repeated":
            run.sandbox.append(line)
        run.sandbox.append({**line, "line": "seen", "decision": decision})
    return tell


def paid_again_under_another_id(run):
    sent("1-pay", "applied", operation_id="1-pay-2")(run)


def stuck(run):
    """Somebody died in the middle of a payout, and nobody took it up."""
    change("reward", {"state": "REVEALED", "version": 4, "event": "reveal", "operation_id": None, "epoch": None,
                      "lease_epoch": None}, id=1)(run)
    drop(run, "reward_log", reward_id=1, version=5)
    drop(run, "ledger", reward_id=1, reward_version=5)
    change("campaign_account", {"promised_minor": 160, "paid_minor": 40})(run)
    run.row("reward_task", reward_id=1, step="pay", operation_id="1-pay", epoch=3)


def stuck_without_a_task(run):
    stuck(run)
    drop(run, "reward_task", reward_id=1)


def parked_and_forgotten(run):
    change("reward", {"state": "PARKED", "parked_in": "DRAWN"}, id=2)(run)


def granted_beyond_the_cap(run):
    drop(run, "reward", id=5)
    drop(run, "reward_log", reward_id=5)
    drop(run, "campaign_account")
    drop(run, "inviter_tally")
    run.reward(5, "dee", "inviter", PATH[:3])
    run.end()


def stopped_below_the_cap(run):
    change("campaign_version", {"document": json.dumps({**DOCUMENT, "caps": {"rewards_per_inviter": 3}})})(run)


def granted_twice(run):
    drop(run, "campaign_account")
    drop(run, "inviter_tally")
    run.reward(7, "ben", "invitee", PATH[:3])
    run.end()


def promised_more_than_there_is(run):
    """What the draws gave back came half a minute later."""
    for row in rows(run, "ledger", debit="promised", credit="budget"):
        row["at"] = at(40)
    change("ledger", {"amount_minor": 300}, debit="funds")(run)
    change("campaign_account", {"budget_minor": 300 - run.promised - run.paid})(run)


# What each story breaks. Where one thing that goes wrong breaks more than one invariant, all of them are named.
STORIES = {
    "a trigger is acknowledged and lost": (
        lost("trigger_event", event_id="e-1"), {"acknowledged-triggers-are-stored", "what-is-granted-was-earned"}),
    "a trigger is stored under another number": (
        change("trigger_event", {"id": 77}, event_id="e-1"), {"acknowledged-triggers-are-stored"}),
    "an event is acknowledged in two ways": (
        answered("trigger", id=78), {"acknowledged-triggers-are-stored", "an-event-has-one-answer"}),
    "a binding is acknowledged, and it is another's": (
        change("binding", {"inviter": "zoe"}, invitee="dee"),
        {"acknowledged-bindings-are-stored", "what-is-granted-was-earned"}),
    "a reveal is acknowledged with another amount": (
        answered("reveal", amount_minor=41), {"acknowledged-reveals-are-kept"}),
    "nothing is granted": (
        lambda run: (drop(run, "reward", id=5), drop(run, "reward_log", reward_id=5)), {"what-is-earned-is-granted"}),
    "something is granted twice": (granted_twice, {"what-is-earned-is-granted"}),
    "a reward goes to somebody else": (
        change("reward", {"beneficiary": "eve"}, id=5),
        {"what-is-granted-was-earned", "no-inviter-has-more-than-the-cap"}),
    "a held binding is rewarded": (
        change("binding", {"state": "held"}, invitee="ben"), {"people-look-first-at-bindings-that-are-held"}),
    "there are more rewards than the cap": (granted_beyond_the_cap, {"no-inviter-has-more-than-the-cap"}),
    "the cap stops somebody too early": (stopped_below_the_cap, {"no-inviter-has-more-than-the-cap"}),
    "work is left": (
        stuck, {"all-work-is-done", "books-and-payment-service-agree"}),
    "work is left, and its task is lost": (
        stuck_without_a_task,
        {"all-work-is-done", "there-is-a-task-just-while-work-is-open", "books-and-payment-service-agree", "a-step-has-one-operation"}),
    "a parked task is lost": (
        parked_and_forgotten,
        {"there-is-a-task-just-while-work-is-open", "the-log-has-no-gaps-and-only-moves-that-there-are"}),
    "a task is left behind": (
        lambda run: run.row("reward_task", reward_id=2, step="allot", operation_id="2-allot", epoch=1),
        {"all-work-is-done", "there-is-a-task-just-while-work-is-open"}),
    "an operation is applied twice": (
        sent("1-pay", "applied-again"), {"an-operation-is-applied-once", "a-reward-is-paid-once"}),
    "a reward is paid under two ids": (
        paid_again_under_another_id, {"a-reward-is-paid-once", "a-step-has-one-operation", "books-and-payment-service-agree"}),
    "two rewards have one operation": (
        change("reward_log", {"operation_id": "2-allot"}, reward_id=3, event="allot"),
        {"a-reward-is-paid-once", "a-step-has-one-operation", "books-and-payment-service-agree",
         "the-log-has-no-gaps-and-only-moves-that-there-are"}),
    "a retry says something else": (
        sent("2-allot", request_sha256="other"), {"an-operation-has-the-same-bytes-each-time"}),
    "a retry comes after the window": (
        sent("2-allot", at=at(59)), {"nothing-is-sent-after-the-dedupe-window"}),
    "another amount is paid": (
        lambda run: applied(run, "1-pay").update(amount_minor=39), {"books-and-payment-service-agree", "a-reward-has-one-amount"}),
    "somebody else is paid": (
        lambda run: applied(run, "1-pay").update(beneficiary="eve"), {"books-and-payment-service-agree"}),
    "a payout is recorded that never was": (
        lambda run: run.sandbox.remove(applied(run, "1-pay")), {"books-and-payment-service-agree"}),
    "an amount is drawn again": (
        change("reward_log", {"amount_minor": 41}, reward_id=3, event="draw"), {"a-reward-has-one-amount"}),
    "a step is missing in the log": (
        lost("reward_log", reward_id=6, version=2), {"the-log-has-no-gaps-and-only-moves-that-there-are"}),
    "a step is done by whoever lost the lease": (
        change("reward_log", {"lease_epoch": 2}, reward_id=3, event="draw"), {"steps-are-done-by-whoever-has-the-lease"}),
    "a balance is not the sum of its ledger": (
        lambda run: rows(run, "campaign_account")[0].update(paid_minor=run.paid + 1, budget_minor=9_999 - run.promised - run.paid),
        {"accounts-are-the-sum-of-the-ledger", "accounts-are-what-the-rewards-say"}),
    "money comes out of nothing": (
        change("ledger", {"amount_minor": 10_001}, debit="funds"), {"accounts-are-the-sum-of-the-ledger"}),
    "more is promised than there is": (promised_more_than_there_is, {"no-more-was-ever-promised-than-there-was"}),
}


class CheckerTest(unittest.TestCase):
    def test_a_good_run_breaks_nothing(self):
        self.assertEqual(broken_by(good()), set())

    def test_each_story_breaks_what_it_should_and_nothing_else(self):
        for name, (tell, wanted) in STORIES.items():
            with self.subTest(name):
                run = good()
                tell(run)
                self.assertEqual(broken_by(run), wanted)

    def test_where_all_is_calm_nothing_is_sent_twice(self):
        self.assertEqual(broken_by(good(), calm=True), {"calm-work-is-asked-for-once"})

    def test_there_is_a_story_for_each_invariant(self):
        told = {name for _, wanted in STORIES.values() for name in wanted} | {"calm-work-is-asked-for-once"}
        self.assertEqual(told, {name for name, _ in checker.INVARIANTS})

    def test_what_is_wrong_is_printed_and_told_by_the_exit_code(self):
        bad = good()
        sent("1-pay", "applied-again")(bad)
        for run, code, words in ((good(), 0, "6 rewards: 0 violations"), (bad, 1, "violated an-operation-is-applied-once")):
            with tempfile.TemporaryDirectory() as directory:
                arguments = []
                for name in ("driver", "sandbox", "dump"):
                    path = Path(directory, name)
                    text = "".join(json.dumps(line) + "\n" for line in getattr(run, name))
                    # The last line of a journal may be torn.
                    path.write_text(text + '{"line": "int')
                    arguments += [f"--{name}", str(path)]
                command = [sys.executable, checker.__file__, *arguments]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                self.assertIn(words, done.stdout)


if __name__ == "__main__":
    unittest.main()
