// The database and the users are there already; what tests run beside themselves (psql) goes where they go.
import { spawnSync } from 'child_process'

export function exec(command, args) {
  const { stderr } = spawnSync(command, args, { stdio: 'pipe', encoding: 'utf8' })
  if (stderr) throw new Error(stderr)
}
