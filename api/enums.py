"""Names of the OpenAPI schema's enums, for statuses that share the key `status`."""

from servers import levels, states

SERVER_STATUS = [(s.value, states.look(s).label) for s in states.ServerStatus]
DEPLOYMENT_STATUS = [(s.value, states.work_look(s).label) for s in states.DeploymentStatus]
RUN_STATE = [(s.value, states.look(s).label) for s in states.RunState]
STEP_STATUS = [(s.value, states.work_look(s).label) for s in states.StepStatus]
HEALTH_STATUS = ["ok", "degraded", "failed"]
LOG_LEVEL = list(levels.LEVELS)
