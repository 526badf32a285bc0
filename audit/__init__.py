"""The shortcut audit: has a classifier learned its subjects, or a shortcut such as the background?

`audit(classifier, pictures, labels).sentence` is the verdict.
"""

from __future__ import annotations

from audit.auditor import Auditor, AuditSettings, Example
from audit.results import Audit, ClassAudit, Cluster
from audit.run import audit
from audit.verdict import Reliance

__all__ = ["Audit", "AuditSettings", "Auditor", "ClassAudit", "Cluster", "Example", "Reliance", "audit"]
