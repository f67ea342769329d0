// Every view: its address, its title, and the code that shows it. The code of a role
// is one file, loaded once: a view that is opened while Central is away must be there.
import type { Route, View } from './lib/router.svelte'
import { t } from './lib/i18n.svelte'
import type { Role } from './lib/me.svelte'

const operator = (name: keyof typeof import('./operator')) => async (): Promise<View> => (await import('./operator'))[name] as unknown as View
const driver = (name: keyof typeof import('./driver')) => async (): Promise<View> => (await import('./driver'))[name] as unknown as View
const monitor = (name: keyof typeof import('./monitor')) => async (): Promise<View> => (await import('./monitor'))[name] as unknown as View
const account = (name: keyof typeof import('./account')) => async (): Promise<View> => (await import('./account'))[name] as unknown as View

export type Group = 'operation' | 'records' | 'system'
/** A route; with a group and an icon it is in the navigation. bare: without navigation.
 *  own: it has a frame, a title and notices of its own, without those of the network. */
export type Entry = Route & { roles: Role[]; group?: Group; icon?: string; own?: boolean }

const staff: Role[] = ['admin', 'operator', 'auditor']

export const routes: Entry[] = [
  { path: '/', title: () => t.nav.grid, load: operator('Grid'), roles: staff, group: 'operation', icon: 'grid' },
  { path: '/alarms', title: () => t.nav.alarms, load: operator('Alarms'), roles: staff, group: 'operation', icon: 'alarms' },
  { path: '/reservations', title: () => t.nav.reservations, load: operator('Reservations'), roles: staff, group: 'operation', icon: 'reservations' },
  { path: '/cp/:id', title: () => t.cp.facts, load: operator('ChargingPoint'), roles: staff },
  { path: '/sessions', title: () => t.nav.sessions, load: operator('Sessions'), roles: staff, group: 'records', icon: 'sessions' },
  { path: '/tickets', title: () => t.nav.tickets, load: operator('Tickets'), roles: staff, group: 'records', icon: 'tickets' },
  { path: '/tickets/:id', title: () => t.receipt.title, load: operator('Receipt'), roles: [...staff, 'driver'] },
  { path: '/commands', title: () => t.nav.commands, load: operator('Commands'), roles: staff, group: 'records', icon: 'commands' },
  { path: '/events', title: () => t.nav.events, load: operator('Events'), roles: staff, group: 'records', icon: 'events' },
  { path: '/tariffs', title: () => t.nav.tariffs, load: operator('Tariffs'), roles: staff, group: 'system', icon: 'tariffs' },
  { path: '/pipeline', title: () => t.nav.pipeline, load: operator('Pipeline'), roles: staff, group: 'system', icon: 'pipeline' },
  { path: '/energy', title: () => t.nav.energy, load: operator('Energy'), roles: staff, group: 'system', icon: 'energy' },
  { path: '/drivers', title: () => t.admin.nav.drivers, load: operator('Drivers'), roles: ['admin'], group: 'system', icon: 'drivers' },
  { path: '/cards', title: () => t.cards.nav, load: operator('Cards'), roles: staff, group: 'system', icon: 'cards' },
  { path: '/groups', title: () => t.groups.nav, load: operator('Groups'), roles: staff, group: 'system', icon: 'groups' },
  { path: '/audit', title: () => t.admin.nav.audit, load: operator('Audit'), roles: staff, group: 'system', icon: 'audit' },
  { path: '/stickers', title: () => t.admin.nav.stickers, load: operator('Stickers'), roles: staff, group: 'system', icon: 'stickers' },
  { path: '/settings', title: () => t.admin.nav.settings, load: operator('Settings'), roles: [...staff, 'driver'], group: 'system', icon: 'settings' },
  { path: '/d', title: () => t.drive.title, load: driver('Driver'), roles: [...staff, 'driver'], bare: true, own: true },
  { path: '/d/list', title: () => t.drive.requests.title, load: driver('Requests'), roles: [...staff, 'driver'], bare: true, own: true },
  { path: '/d/receipts', title: () => t.drive.receipts.title, load: driver('Receipts'), roles: [...staff, 'driver'], bare: true, own: true },
  { path: '/d/receipts/:id', title: () => t.drive.receipts.one, load: driver('Receipt'), roles: [...staff, 'driver'], bare: true, own: true },
  { path: '/c/:cp', title: () => t.drive.title, load: driver('Point'), roles: [...staff, 'driver'], bare: true, own: true },
  { path: '/m/:cp', title: () => t.monitor.title, load: monitor('Monitor'), roles: [...staff, 'screen'], bare: true, own: true },
  { path: '/signin', title: () => t.account.signIn, load: account('SignIn'), roles: ['', ...staff, 'driver', 'screen'], bare: true },
  { path: '/setup', title: () => t.account.setup, load: account('Setup'), roles: ['', ...staff, 'driver', 'screen'], bare: true },
]

/** Where a person or a screen begins. */
export const home = (role: Role, cp = ''): string => (role === 'driver' ? 'd' : role === 'screen' ? 'm/' + cp : '')
