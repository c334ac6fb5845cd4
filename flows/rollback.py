"""One click back: the previous champion is the champion again, on one approver's word."""

from __future__ import annotations

from prefect import State, flow, get_run_logger

from conf.load import load_policy
from conf.settings import prepare_environment, settings
from flows.events import locks_told, tell_rolled_back
from flows.forms import ModelName, Text
from flows.runs import deployed_run, form_sent_at, refusal
from tasks import promote as promotion
from tasks.errors import TunegateError
from tasks.ledger import RolledBack


@flow(name="rollback", flow_run_name="rollback-{model}", persist_result=False)
def rollback(model: ModelName, approver: Text, reason: Text, code: Text) -> RolledBack | State[None]:
    """Verify the previous champion, record who ordered it and why, swap the aliases.

    Args:
        model: the registered name, without `-candidates`.
        approver: your name in conf/policies/promotion.yaml.
        reason: why; it stands in the ledger for good.
        code: the one-time code of your authenticator app; it counts once, for a minute when you press Submit.
    """
    current, run = settings(), deployed_run()
    prepare_environment(current)
    try:
        sent = None if run is None else form_sent_at(run)
        with locks_told(model):
            done = promotion.rollback(model, reason, approver, load_policy(), current, code=code, sent_at=sent)
    except TunegateError as error:
        return refusal(error)
    get_run_logger().info("%s version %s is champion again, instead of %s", done.model, done.version, done.previous)
    tell_rolled_back(done)
    return done
