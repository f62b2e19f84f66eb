// Manifests of many applications, as charts write them: each with an Ingress, a Service, a Deployment and a NetworkPolicy.

/** @param objects of which one in twenty is an Ingress that has something to be found */
export function manyManifests(objects: number, files: number): readonly string[] {
  const all = Array.from({ length: objects / 4 }, (_, i) => application(i)).flat();
  const each = Math.ceil(all.length / files);
  return Array.from({ length: files }, (_, i) => all.slice(i * each, (i + 1) * each).join('---\n'));
}

function application(i: number): readonly string[] {
  const [name, namespace] = [`app-${i}`, `team-${i % 40}`];
  const labels = `app.kubernetes.io/name: ${name}`;
  const meta = (more = '') =>
    `metadata:\n  name: ${name}\n  namespace: ${namespace}\n  labels:\n    ${labels}\n    app.kubernetes.io/managed-by: Helm\n    helm.sh/chart: app-1.4.2\n${more}`;
  const bad = i % 5 === 0;
  const annotations = [
    'curfew.internal/cutter: ss -K',
    'nginx.ingress.kubernetes.io/auth-url: https://curfew.example.com/forward/nginx',
    `nginx.ingress.kubernetes.io/proxy-read-timeout: "${bad ? 3600 : 900}"`,
    'nginx.ingress.kubernetes.io/proxy-send-timeout: "60"',
  ];
  return [
    `apiVersion: networking.k8s.io/v1\nkind: Ingress\n${meta(`  annotations:\n${annotations.map((one) => `    ${one}\n`).join('')}`)}spec:
  ingressClassName: traefik
  tls:
    - hosts:
        - ${name}.example.com
      secretName: ${name}-tls
  rules:
    - host: ${name}.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: ${name}
                port:
                  number: 80
`,
    `apiVersion: v1\nkind: Service\n${meta()}spec:\n  type: ${i % 25 === 0 ? 'NodePort' : 'ClusterIP'}\n  ports:\n    - port: 80\n      targetPort: http\n  selector:\n    ${labels}\n`,
    `apiVersion: apps/v1\nkind: Deployment\n${meta()}spec:
  replicas: 2
  selector:
    matchLabels:
      ${labels}
  template:
    metadata:
      labels:
        ${labels}
    spec:
      serviceAccountName: ${name}
      containers:
        - name: app
          image: registry.example.com/${name}:1.${i}.0
          ports:
            - name: http
              containerPort: 8080
          env:
            - name: LOG_LEVEL
              value: info
          resources:
            requests:
              cpu: 50m
              memory: 64Mi
`,
    `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n${meta()}spec:
  podSelector:
    matchLabels:
      ${labels}
  policyTypes:
    - Ingress
    - Egress
  ingress:
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: traefik
  egress:
    - to:
        - namespaceSelector: {}
          podSelector:
            matchLabels:
              k8s-app: kube-dns
`,
  ];
}
