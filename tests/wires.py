"""The mark of tests that need a wire between network namespaces; it says what is missing."""

from __future__ import annotations

import pytest

from compare.wire.network import missing

LACKING = missing()
needs_wire = pytest.mark.skipif(LACKING is not None, reason=f"no wire here: {LACKING}")
