"""Template tags: `{% feature %}` and `{% feature_access %}`.

A tag never fails a page: on any error the feature counts as denied, and the error is logged.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.template.base import FilterExpression, NodeList, Parser, Token
from django.template.context import Context

from chatarmin_os.gate import Decision
from chatarmin_os.integrations.django.access import check
from chatarmin_os.integrations.django.organisation import in_sync_context
from chatarmin_os.web.log import LOGGER, foreign_error, name_for_log

register = template.Library()


@register.tag
def feature(parser: Parser, token: Token) -> template.Node:
    """Render a part of a template for organisations with a feature, and the part after `{% else %}` for others.

    {% feature "exports" %}<a href="/export">Export</a>{% else %}<a href="/upgrade">Upgrade</a>{% endfeature %}
    """
    words = token.split_contents()
    if len(words) != 2:  # noqa: PLR2004 - the tag and its argument
        raise template.TemplateSyntaxError(f'{words[0]}: expected one feature code, as in {{% {words[0]} "exports" %}}')
    code = parser.compile_filter(words[1])
    allowed = parser.parse(("else", "endfeature"))
    otherwise = NodeList()
    if parser.next_token().contents == "else":
        otherwise = parser.parse(("endfeature",))
        parser.delete_first_token()
    return _FeatureNode(code, allowed, otherwise)


@register.tag
def feature_access(parser: Parser, token: Token) -> template.Node:
    """Put the access to a feature into a variable; None if nothing is known about it.

    {% feature_access "ai_credit" as credits %}{{ credits.remaining }} left
    """
    words = token.split_contents()
    if len(words) != 4 or words[2] != "as":  # noqa: PLR2004 - the tag, its argument, "as", the name
        raise template.TemplateSyntaxError(
            f'{words[0]}: expected a feature code and a name, as in {{% {words[0]} "ai_credit" as credits %}}'
        )
    return _AccessNode(parser.compile_filter(words[1]), words[3])


class _FeatureNode(template.Node):
    child_nodelists = ("allowed", "otherwise")

    def __init__(self, code: FilterExpression, allowed: NodeList, otherwise: NodeList) -> None:
        self.code, self.allowed, self.otherwise = code, allowed, otherwise

    def render(self, context: Context) -> str:
        """Render the part for the decision."""
        return (self.allowed if _decide(self.code, context) else self.otherwise).render(context)


class _AccessNode(template.Node):
    def __init__(self, code: FilterExpression, name: str) -> None:
        self.code, self.name = code, name

    def render(self, context: Context) -> str:
        """Set the variable, and render nothing."""
        decision = _decide(self.code, context)
        context[self.name] = None if decision is None else decision.access  # a denial is falsy
        return ""


def _decide(expression: FilterExpression, context: Context) -> Decision | None:
    """Return the decision, None if there was an error."""
    code: Any = None
    try:
        code = expression.resolve(context)
        request = context.get("request") or getattr(context, "request", None)
        if request is None:
            LOGGER.error(
                "template tag of feature %r: the context has no request; render with a request, and add "
                "django.template.context_processors.request to the template engine",
                code,
            )
            return None
        return in_sync_context(lambda: check(request, code))
    except Exception as error:  # noqa: BLE001 - a page must not fail because of a feature
        LOGGER.error(
            "template tag of feature %r: failed; the feature counts as denied: %s",
            code,
            name_for_log(error),
            exc_info=foreign_error(error),
        )
        return None
