// The Spanish texts about groups of charging points behind one fuse.
import type { groups as en } from './en.groups'

export const groups: typeof en = {
  nav: 'Grupos',
  title: 'Grupos',
  text: 'Los puntos de carga tras un mismo fusible comparten su corriente. Lo que pueden tomar juntos nunca lo supera, aunque alguno no responda.',
  add: 'Añadir un grupo',
  name: 'Nombre',
  limit: 'Límite por fase, en A',
  limitRule: 'El fusible. Al menos la suma de las corrientes seguras de todos los conectores.',
  cps: 'Puntos de carga',
  place: (name) => `Todos los de ${name}`,
  edit: 'Cambiar…',
  editTitle: (name) => `Grupo ${name}`,
  remove: 'Eliminar',
  removeTitle: (name) => `¿Eliminar el grupo ${name}?`,
  removeText: 'Sus puntos de carga vuelven a su corriente segura cuando acaban sus concesiones.',
  empty: 'Ningún grupo',
  emptyText: 'Sin grupo, Central no limita ningún punto de carga.',
  granted: (has, limit) => `${has} de ${limit} concedidos`,
  has: (has, share) => `puede tomar ${has}, le corresponden ${share}`,
  uses: (power) => `usa ${power}`,
  until: (at) => `hasta ${at}`,
  inGroup: 'Grupo',
  why: {
    idle: 'sin sesión',
    served: 'tiene su parte',
    turn: 'espera 6 A: no alcanza para todos, por turnos de 15 min',
    unconfirmed: 'aún no ha confirmado su parte',
    others: 'espera a que otros confirmen menos',
    unreachable: 'no responde: cuenta con todo lo que puede tomar',
  },
}
