// The charging point's own page. It reads status.json each second and changes only texts
// that differ, so that focus stays. A text is [English, Spanish].
const locale = navigator.language, es = +locale.startsWith('es')
if (es) document.documentElement.lang = 'es'
const word = (table, key) => table[key]?.[es] ?? key

const texts = {
  cp: ['Charging point', 'Punto de carga'], connector: ['Connector', 'Conector'], agent: ['Agent', 'Agente'],
  lost: ['The agent does not answer. Values are of', 'El agente no responde. Los valores son de las'],
  lostTodo: ['Is carga-agent running? Is the tunnel open?', '¿Funciona carga-agent? ¿Está abierto el túnel?'],
  steps: ['Checklist since the agent’s start', 'Comprobaciones desde el arranque'], done: ['done', 'hecho'], todo: ['open', 'pendiente'],
  register: ['Meter', 'Contador'], session: ['This session', 'Esta sesión'], power: ['Power', 'Potencia'], read: ['Last reading', 'Última lectura'],
  temperature: ['Temperature', 'Temperatura'], limit: ['Current limit', 'Límite de corriente'], true: ['closed', 'cerrado'],
  false: ['open', 'abierto'], pilot: ['Pilot', 'Piloto'], withheld: ['No power:', 'Sin potencia:'], never: ['none', 'ninguna'],
  up: ['connected since', 'conectado desde'], down: ['not connected since', 'sin conexión desde'],
  journal: ['Journal', 'Diario'], records: ['records', 'registros'], used: ['of its space used', 'de su espacio'],
  unacked: ['Not acknowledged', 'Sin confirmar'], acked: ['Acknowledged', 'Confirmado'],
  clock: ['Clock', 'Reloj'], uptime: ['Running for', 'En marcha'], version: ['Version', 'Versión'],
  sim: ['Simulated hardware', 'Hardware simulado'], plug: ['Plug in', 'Enchufar'], unplug: ['Unplug', 'Desenchufar'],
  fault: ['Raise fault', 'Provocar avería'], kind: ['Kind of fault', 'Tipo de avería'], repair: ['Repair', 'Reparar'],
  tap: ['Hold card to reader', 'Acercar tarjeta'], uid: ['Card number', 'Número de tarjeta'],
}
const t = (key) => word(texts, key)
const clocks = { synced: ['set by the network', 'puesto por la red'], set: ['set', 'puesto'], unset: ['not set', 'sin poner'] }
const states = {
  available: ['Free', 'Libre'], preparing: ['Plugged in, no power yet', 'Enchufado, aún sin potencia'], charging: ['Charging', 'Cargando'],
  suspended_ev: ['Paused by the vehicle', 'En pausa por el vehículo'], suspended_evse: ['Paused by the charging point', 'En pausa por el punto de carga'],
  finishing: ['Session over', 'Sesión terminada'], reserved: ['Reserved', 'Reservado'], unavailable: ['Out of service', 'Fuera de servicio'], faulted: ['Faulted', 'Averiado'],
}
const reasons = {
  control_loop_late: ['the control loop is late', 'el bucle de control se retrasa'], safety_input: ['a safety input cannot be read', 'no se lee una entrada de seguridad'],
  settling: ['inputs are settling', 'las entradas se estabilizan'], start_delay: ['delay after a power cut', 'espera tras un corte de luz'],
  meter_lost: ['the meter does not answer', 'el contador no responde'], too_hot: ['too hot', 'demasiado calor'], limited: ['limit below 6 A', 'límite inferior a 6 A'],
}
const pilots = { A: ['A: no vehicle', 'A: sin vehículo'], B: ['B: plugged in', 'B: enchufado'], C: ['C: requests power', 'C: pide potencia'] }
const owners = {
  connector: ['connector', 'conector'], cable: ['cable', 'cable'], temperature: ['temperature', 'temperatura'], configured: ['configuration', 'configuración'],
  command: ['Central', 'Central'], safe: ['safe current without Central', 'corriente segura sin Central'],
}
// Of a step and of a fault, what to do follows the name.
const steps = {
  message: ['First message acknowledged', 'Primer mensaje confirmado', 'MQTT broker, bridge and Central must run.', 'Deben funcionar el broker MQTT, el puente y Central.'],
  admitted: ['Admitted', 'Admitido', 'On Central’s page; seen with the first order or card list.', 'En la página de Central; se ve con la primera orden o lista de tarjetas.'],
  plug: ['Plug detected', 'Enchufe detectado', 'Plug in a vehicle.', 'Enchufe un vehículo.'],
  contactor: ['Contactor closed', 'Contactor cerrado', 'Start a session and request power.', 'Empiece una sesión y pida potencia.'],
  meter: ['Meter advances', 'El contador avanza', 'Let some energy flow.', 'Deje pasar algo de energía.'],
  ticket: ['Central has the ticket', 'Central tiene el recibo', 'End the session.', 'Termine la sesión.'],
}
const faults = {
  emergency_stop: ['Emergency stop pressed', 'Parada de emergencia pulsada', 'Look for the reason, then release the button.', 'Busque el motivo y suelte el pulsador.'],
  ground_fault: ['Ground fault', 'Fallo a tierra', 'Do not touch cable and vehicle. Call an electrician.', 'No toque cable ni vehículo. Llame a un electricista.'],
  overcurrent: ['Overcurrent', 'Sobrecorriente', 'Try another vehicle, then check the wiring.', 'Pruebe otro vehículo; luego revise la instalación.'],
  overtemperature: ['Too hot', 'Sobrecalentamiento', 'Let it cool; look for blocked vents, sun, loose terminals.', 'Deje que se enfríe; busque rejillas tapadas, sol, bornes flojos.'],
  contactor_welded: ['Contactor does not open', 'El contactor no abre', 'Danger: it may be live. Cut its supply; replace the contactor.', 'Peligro: puede tener tensión. Corte su alimentación; cambie el contactor.'],
  contactor_stuck_open: ['Contactor does not close', 'El contactor no cierra', 'Check coil, relay and feedback contact.', 'Revise bobina, relé y contacto auxiliar.'],
  meter_failed: ['Meter does not answer', 'El contador no responde', 'Check supply, wires A and B, address and speed.', 'Revise alimentación, hilos A y B, dirección y velocidad.'],
  pilot_failed: ['Pilot signal wrong', 'Señal piloto incorrecta', 'Try another cable, then another pilot board.', 'Pruebe otro cable; luego otra placa del piloto.'],
  safety_input_failed: ['Safety input failed', 'Falla una entrada de seguridad', 'Check the wiring of all safety inputs.', 'Revise el cableado de las entradas.'],
  journal_failed: ['Storage failed', 'Falla el almacenamiento', 'Free space, or replace the SD card.', 'Libere espacio o cambie la tarjeta SD.'],
  lock_failed: ['Cable lock failed', 'Falla el bloqueo del cable', 'Look for dirt or a strained cable.', 'Busque suciedad o un cable tenso.'],
  self_test_failed: ['Self-test failed', 'Falla la autoprueba', 'Have the residual current device checked.', 'Haga revisar el diferencial.'],
  other: ['Other fault', 'Otra avería', 'See journalctl -u carga-agent.', 'Mire journalctl -u carga-agent.'],
}

const number = (v, unit, digits = 0) => v.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }) + ' ' + unit
const moment = (at) => new Date(at).toLocaleString(locale)
const lasting = (ms) => {
  const s = Math.round(ms / 1000)
  return s < 120 ? s + ' s' : s < 7200 ? Math.round(s / 60) + ' min' : s < 172800 ? Math.round(s / 3600) + ' h' : Math.round(s / 86400) + ' d'
}
const ago = (ms) => (ms < 0 ? t('never') : es ? 'hace ' + lasting(ms) : lasting(ms) + ' ago')

const find = (selector) => document.querySelector(selector)
function make(tag, parent, props) {
  const e = Object.assign(document.createElement(tag), props)
  parent.append(e)
  return e
}
function put(e, text, kind = '') {
  if (e.textContent !== text) e.textContent = text
  e.className = kind
}
// rows makes a list of terms; the function returned sets one, or hides it without a text.
function rows(parent) {
  const list = make('dl', parent), all = {}
  return (key, text, kind) => {
    const [term, value] = (all[key] ??= [make('dt', list, { textContent: t(key) }), make('dd', list)])
    term.hidden = value.hidden = !text
    put(value, text || '', kind)
  }
}
// lines replaces the lines of a list when they differ.
function lines(list, all) {
  if (list.dataset.all === (list.dataset.all = JSON.stringify(all))) return
  list.replaceChildren()
  for (const [name, rest, kind] of all) {
    const line = make('li', list)
    make('strong', line, { textContent: name, className: kind })
    line.append(' ', rest)
  }
}
const tick = (list, done) => lines(list, Object.keys(steps).filter((k) => k in done).map((k) => done[k]
  ? ['✓ ' + word(steps, k), t('done'), 'good']
  : ['○ ' + word(steps, k), `(${t('todo')}): ${steps[k][2 + es]}`, '']))

// controls operate simulated hardware: connector n, or without it the card reader.
function controls(section, n) {
  make('h3', section, { textContent: t('sim') })
  const form = make('form', section, { onsubmit: () => false }), answer = make('p', section, { role: 'status', className: 'bad' })
  const field = (tag, key, props) => make(tag, make('label', form, { textContent: t(key) }), props)
  const button = (action, more) => make('button', form, {
    type: 'button', textContent: t(action), async onclick() {
      const r = await fetch('simulate', { method: 'POST', body: JSON.stringify({ action, connector: n, ...more?.() }) }).catch(() => 0)
      answer.textContent = !r || r.ok ? '' : (await r.json()).detail
      refresh()
    },
  })
  if (!n) {
    const uid = field('input', 'uid', { value: '04A1B2C3', autocomplete: 'off' })
    return button('tap', () => ({ uid: uid.value }))
  }
  for (const action of ['plug', 'unplug', 'repair']) button(action)
  const kind = field('select', 'kind')
  for (const f in faults) make('option', kind, { value: f, textContent: word(faults, f) })
  button('fault', () => ({ fault: kind.value }))
}

// build makes a section for each connector, and one for the agent.
function build(s) {
  const main = find('main')
  main.replaceChildren()
  return [...s.connectors, {}].map(({ connector }) => {
    const section = make('section', main)
    make('h2', section, { textContent: connector ? `${t('connector')} ${connector}` : t('agent') })
    const p = { state: make('p', section), bad: make('ul', section), row: rows(section) }
    if (connector) make('h3', section, { textContent: t('steps') })
    p.steps = make('ol', section)
    if (s.simulated) controls(section, connector)
    return p
  })
}

function showConnector({ state, bad, row, steps }, c, point) {
  const present = c.faults ?? [], status = word(states, c.status)
  const text = `${t('connector')} ${c.connector}: ${[status, ...present.map((f) => word(faults, f))].join(', ')}`
  if (state.dataset.text && state.dataset.text !== text) put(find('#spoken'), text)
  state.dataset.text = text
  put(state, status, 'state ' + (present.length ? 'bad' : c.status === 'charging' ? 'good' : ''))
  lines(bad, present.map((f) => [word(faults, f) + '.', faults[f]?.[2 + es] ?? '', 'bad']))
  row('withheld', c.withheld && word(reasons, c.withheld), 'bad')
  row('register', number(c.register_wh / 1000, 'kWh', 3))
  row('session', c.register_start_wh && number((c.register_wh - c.register_start_wh) / 1000, 'kWh', 3))
  row('power', [number(c.power_w, 'W'), number((c.current_ma ?? 0) / 1000, 'A', 1), number((c.voltage_mv ?? 0) / 1000, 'V')].join(', '))
  row('read', ago(c.meter_ms), c.meter_ms < 0 || c.meter_ms > 5000 ? 'bad' : '')
  row('temperature', c.temperature_mc && number(c.temperature_mc / 1000, '°C'))
  row('limit', c.limit_by && `${number(c.limit_ma / 1000, 'A', 1)} (${word(owners, c.limit_by)})`)
  row('Contactor', t(c.closed))
  row('pilot', word(pilots, c.pilot))
  tick(steps, { ...point, ...c.steps })
}

let parts = [], version, seen, missed = 0

function show(s) {
  if ((version ??= s.version) !== s.version) return location.reload()
  if (parts.length !== s.connectors.length + 1) parts = build(s)
  document.title = `${s.cp_id} · ${t('cp')}`
  put(find('h1'), s.cp_id)
  put(find('header p'), [t('cp'), s.name, s.place].filter(Boolean).join(' · '))
  s.connectors.forEach((c, i) => showConnector(parts[i], c, s.steps))
  const { bad, row } = parts.at(-1), { link, journal: j } = s
  lines(bad, s.checks.filter((c) => !c.up && c.name !== 'uplink').map((c) => [c.name + ':', `${c.reason} (${moment(c.since)})`, 'bad']))
  row('MQTT', `${t(link.up ? 'up' : 'down')} ${moment(link.since)} (${link.broker}) ${link.error ?? ''}`, link.up ? 'good' : 'bad')
  row('acked', ago(j.acked_ms))
  row('unacked', `${j.unacked} ${t('records')}`)
  row('journal', `${j.records} ${t('records')}, ${number(j.quota_permille / 10, '%', 1)} ${t('used')}`)
  row('clock', `${moment(s.at)}, ${word(clocks, s.clock)}`, s.clock === 'unset' ? 'bad' : '')
  row('uptime', lasting(s.uptime_ms))
  row('version', s.version)
}

function lose(lost) {
  const e = find('#lost')
  if (lost && e.hidden) e.textContent = `${t('lost')} ${seen ? new Date(seen).toLocaleTimeString(locale) : '–'}. ${t('lostTodo')}`
  e.hidden = !lost
  document.body.classList.toggle('lost', lost)
  for (const b of document.querySelectorAll('button')) b.disabled = lost
}

async function refresh() {
  const r = await fetch('status.json', { cache: 'no-store', signal: AbortSignal.timeout(2000) }).catch(() => 0)
  const s = r && await r.json().catch(() => 0)
  if (!s) return
  missed = 0
  seen = Date.now()
  show(s)
  lose(false)
}
const poll = () => refresh().finally(() => setTimeout(poll, 1000))
poll()
// Ticks are counted, not time: a browser that pauses the page is no lost agent.
setInterval(() => ++missed > 4 && lose(true), 500)
