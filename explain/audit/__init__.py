"""Did it learn the tank or the weather? A classifier and pictures in, a verdict a class with its evidence out.

>>> from explain.audit import audit
>>> audit(classifier, pictures, labels).sentence
"""

from __future__ import annotations

from explain.audit.measure import Auditor, Example
from explain.audit.result import Audit, ClassAudit, Cluster, Reliance
from explain.audit.run import audit

__all__ = ["Audit", "Auditor", "ClassAudit", "Cluster", "Example", "Reliance", "audit"]
