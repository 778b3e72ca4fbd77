#!/bin/sh
# modelry deploy-agent --environment prod --exec ./deploy.sh
# KServe keeps the old revision answering until the new one is ready; when it never is, this fails, and the registry
# sends the version to go back to.
set -eu
cd "$(dirname "$0")"
manifest=$(python3 render.py)
service=$(printf '%s' "$manifest" | kubectl apply -o name -f -)
printf '%s: version %s of %s\n' "$service" "$MODELRY_VERSION" "$MODELRY_MODEL"
# Ready has to be what is started now: of the service itself, the condition may still be that of the version before.
ours="modelry/deployment=$MODELRY_DEPLOYMENT"
until kubectl get pods -l "$ours" -o name | grep -q .; do sleep 1; done
kubectl wait --for=condition=Ready pod -l "$ours" --timeout="${MODELRY_TIMEOUT}s"
kubectl wait --for=condition=Ready "$service" --timeout="${MODELRY_TIMEOUT}s"
address=$(kubectl get "$service" -o 'jsonpath={.status.url}')
printf '{"endpoint": "%s"}\n' "$address" > "$MODELRY_RESULT"
