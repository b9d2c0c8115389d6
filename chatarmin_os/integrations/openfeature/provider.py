"""The provider: evaluations of OpenFeature, decided by a gate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import OpenFeatureError, TargetingKeyMissingError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagType
from openfeature.provider import AbstractProvider, FeatureProvider, Metadata

from chatarmin_os._input import at_field, optional_text
from chatarmin_os._json import describe, short_repr
from chatarmin_os.errors import ChatarminError, InvalidInput
from chatarmin_os.gate import Gate
from chatarmin_os.integrations.openfeature.events import Events
from chatarmin_os.integrations.openfeature.failures import DefaultsLog, as_open_feature
from chatarmin_os.integrations.openfeature.flags import Flag, flag_of, mapping_of_flags
from chatarmin_os.integrations.openfeature.resolution import resolve

if TYPE_CHECKING:
    from openfeature.track import TrackingEventDetails  # SDKs before 0.9 have none

Context = EvaluationContext | None
Structure = Sequence[Any] | Mapping[str, Any]
Identity = Literal["external_org_id", "company_id"]

_logger = logging.getLogger("chatarmin_os")


class ChatarminProvider(AbstractProvider):
    """A provider of OpenFeature over a gate: the flags are features, and the targeting key is your organisation's id.

    The key of a flag is `feature` or `feature:setting`:

    - `feature` as a boolean is whether the organisation may use it; as an integer or float what remains of its
      quantity (0 if it is denied, `UNLIMITED` if it is unlimited); as an object or string all its settings.
    - `feature:setting` is one of its settings, `config_values` of its access. A boolean is False while the feature is
      denied, anything else the caller's default while it is disabled.

    Numbers are converted only where nothing is lost; anything else is `TYPE_MISMATCH`. The reason is `TARGETING_MATCH`
    (asked just now), `CACHED`, `STALE`, `DEFAULT` (nothing is known: the policy of the feature, or the caller's
    default), or `DISABLED` for a setting of a feature that is disabled; the variant is the reason of the decision, or
    the name of the setting.

    If an evaluation fails, the SDK returns the caller's default: **a default of True grants**. Pass False.

    The gate stays yours: `shutdown` closes nothing. The provider needs no initialisation, starts no thread, and may be
    used by any number of threads and domains. `track` counts nothing, and logs that once: usage is counted by
    `billing.track_usage`, `gate.metered` or an outbox, which report what is lost.

    Args:
        gate: The gate.
        flags: Key -> `Flag`, for keys that are not `feature` or `feature:setting`, and for codes with a colon.
        targeting: The meaning of the id in the context: `"external_org_id"` or `"company_id"`.
        attribute: The attribute of the context that has the id; None: its targeting key.

    Raises:
        TypeError: *gate* is not a gate.
        InvalidInput: Another invalid argument.

    Example:
        >>> from chatarmin_os.gate import Gate
        >>> from chatarmin_os.integrations.openfeature import ChatarminProvider, Flag
        >>> from openfeature import api
        >>> from openfeature.evaluation_context import EvaluationContext
        >>> company = client.onboard(external_org_id="org_1", tier_code="free")
        >>> api.set_provider(ChatarminProvider(Gate(client), flags={"single-sign-on": Flag("sso")}), domain="shop")
        >>> flags = api.get_client("shop")
        >>> details = flags.get_boolean_details("single-sign-on", False, EvaluationContext("org_1"))
        >>> details.value, details.variant, details.reason.value
        (False, 'disabled', 'TARGETING_MATCH')
    """

    def __init__(
        self,
        gate: Gate,
        *,
        flags: Mapping[str, Flag] | None = None,
        targeting: Identity = "external_org_id",
        attribute: str | None = None,
    ) -> None:
        if not isinstance(gate, Gate):
            raise TypeError(f"gate: expected a chatarmin_os.gate.Gate, got {describe(gate)}")
        if targeting not in ("external_org_id", "company_id"):
            raise InvalidInput(f'expected "external_org_id" or "company_id", got {describe(targeting)}').at("targeting")
        super().__init__()
        self._gate, self._flags = gate, mapping_of_flags(flags)
        self._targeting, self._attribute = targeting, at_field("attribute", optional_text)(attribute)
        self._log, self._has_tracked = DefaultsLog(), False
        self._end_events: Callable[[], None] | None = None

    def get_metadata(self) -> Metadata:
        """Return the name of the provider: `"ChatarminOS"`."""
        return Metadata(name="ChatarminOS")

    def attach(self, on_emit: Callable[[FeatureProvider, ProviderEvent, ProviderEventDetails], None]) -> None:
        """Begin to emit events; the first one is READY, for there is nothing to wait for.

        The SDK emits it too, but since 0.10 in a thread of its own: an evaluation before that would be the caller's
        default.
        """
        self.detach()
        super().attach(on_emit)
        events = Events(self._gate._trouble, partial(on_emit, self), self._flags)  # noqa: SLF001 - the seam of integrations
        events.ready()
        end = self._gate._listen(events)  # noqa: SLF001 - the same

        def end_events() -> None:
            events.close()
            end()

        self._end_events = end_events

    def detach(self) -> None:
        """Emit no more events."""
        end_events, self._end_events = self._end_events, None
        if end_events is not None:
            end_events()
        super().detach()

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - as in the SDK
        evaluation_context: Context = None,
    ) -> FlagResolutionDetails[bool]:
        """Return whether a feature may be used, or a setting that is a boolean."""
        return self._resolve(FlagType.BOOLEAN, flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: Context = None
    ) -> FlagResolutionDetails[str]:
        """Return a setting that is text, or all settings as JSON."""
        return self._resolve(FlagType.STRING, flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: Context = None
    ) -> FlagResolutionDetails[int]:
        """Return what remains of a quantity, or a setting, as a whole number."""
        return self._resolve(FlagType.INTEGER, flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: Context = None
    ) -> FlagResolutionDetails[float]:
        """Return what remains of a quantity, or a setting, as a float."""
        return self._resolve(FlagType.FLOAT, flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self, flag_key: str, default_value: Structure, evaluation_context: Context = None
    ) -> FlagResolutionDetails[Structure]:
        """Return all settings of a feature, or one that is an object or a list; a copy."""
        return self._resolve(FlagType.OBJECT, flag_key, default_value, evaluation_context)

    # A gate may wait for the service, which must not stop an event loop.

    async def resolve_boolean_details_async(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - as in the SDK
        evaluation_context: Context = None,
    ) -> FlagResolutionDetails[bool]:
        """Return the same in a thread of asyncio."""
        return await asyncio.to_thread(self.resolve_boolean_details, flag_key, default_value, evaluation_context)

    async def resolve_string_details_async(
        self, flag_key: str, default_value: str, evaluation_context: Context = None
    ) -> FlagResolutionDetails[str]:
        """Return the same in a thread of asyncio."""
        return await asyncio.to_thread(self.resolve_string_details, flag_key, default_value, evaluation_context)

    async def resolve_integer_details_async(
        self, flag_key: str, default_value: int, evaluation_context: Context = None
    ) -> FlagResolutionDetails[int]:
        """Return the same in a thread of asyncio."""
        return await asyncio.to_thread(self.resolve_integer_details, flag_key, default_value, evaluation_context)

    async def resolve_float_details_async(
        self, flag_key: str, default_value: float, evaluation_context: Context = None
    ) -> FlagResolutionDetails[float]:
        """Return the same in a thread of asyncio."""
        return await asyncio.to_thread(self.resolve_float_details, flag_key, default_value, evaluation_context)

    async def resolve_object_details_async(
        self, flag_key: str, default_value: Structure, evaluation_context: Context = None
    ) -> FlagResolutionDetails[Structure]:
        """Return the same in a thread of asyncio."""
        return await asyncio.to_thread(self.resolve_object_details, flag_key, default_value, evaluation_context)

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: Context = None,  # noqa: ARG002 - as in the SDK
        tracking_event_details: TrackingEventDetails | None = None,  # noqa: ARG002 - as in the SDK
    ) -> None:
        """Count nothing, and log a warning the first time.

        It returns nothing, cannot fail and has no idempotency key, and experiments track what is no usage: usage that
        was counted here could be lost, doubled, or never have been meant.
        """
        if not self._has_tracked:
            self._has_tracked = True
            _logger.warning(
                "track(%s) counts no usage, nor does any other call of it: use gate.metered, billing.track_usage or an "
                "outbox",
                short_repr(tracking_event_name),
            )

    def _resolve(self, flag_type: FlagType, key: str, default: Any, context: Context) -> FlagResolutionDetails[Any]:
        """Return the value of a flag.

        An error is raised: of details with an error code, async evaluations of SDK 0.10 return the value.
        """
        try:
            flag = (self._flags.get(key) if isinstance(key, str) else None) or flag_of(key)
            try:
                decision = self._gate.check(**{self._targeting: self._id_in(context)}, feature_code=flag.feature_code)
            except ChatarminError as error:
                raise as_open_feature(error) from error
            return resolve(decision, flag, flag_type, default)
        except OpenFeatureError as error:
            self._log.note(key, error, default)
            raise

    def _id_in(self, context: Context) -> Any:
        """Return the id in a context; the gate checks its form."""
        found: Any = None
        if context is not None:
            found = context.targeting_key if self._attribute is None else context.attributes.get(self._attribute)
        if found is None or found == "":
            where = "targeting key" if self._attribute is None else f"attribute {self._attribute!r}"
            raise TargetingKeyMissingError(f"{where}: missing; pass the {self._targeting} in the evaluation context")
        return found
