package store

import (
	"context"
	"database/sql"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// CPSettings writes the settings of a charging point in place of the ones before.
func (tx *Tx) CPSettings(s view.CPSettings) error {
	return wrap("write settings of a charging point", tx.exec("INSERT INTO cp_settings (cp_id,name,place,site,version,changed_at) VALUES (?,?,?,?,?,?) "+
		"ON CONFLICT (cp_id) DO UPDATE SET name=excluded.name,place=excluded.place,site=excluded.site,version=excluded.version,changed_at=excluded.changed_at",
		string(s.CPID), s.Name, s.Place, s.Site, s.Version, int64(s.ChangedAt)))
}

const cpSettingsCols = "SELECT c.cp_id,c.name,c.place,coalesce(s.name,''),coalesce(s.place,''),coalesce(s.site,''),coalesce(s.version,0),coalesce(s.changed_at,0) " +
	"FROM cps c LEFT JOIN cp_settings s USING (cp_id)"

func scanCPSettings(r scanner) (s view.CPSettings, err error) {
	return s, r.Scan(&s.CPID, &s.ReportedName, &s.ReportedPlace, &s.Name, &s.Place, &s.Site, &s.Version, &s.ChangedAt)
}

// AllCPSettings returns the settings of the charging points that have some.
func (s *Store) AllCPSettings(ctx context.Context) ([]view.CPSettings, error) {
	return collect(ctx, s, "read settings of charging points", func(r *sql.Rows) (view.CPSettings, error) { return scanCPSettings(r) },
		cpSettingsCols+" WHERE s.version>0 ORDER BY c.cp_id")
}

// CPSettings returns the settings of a charging point; nil if it is not known.
func (a Archive) CPSettings(ctx context.Context, cp charge.CPID) (*view.CPSettings, error) {
	v, err := scanCPSettings(a.s.ro.QueryRowContext(ctx, cpSettingsCols+" WHERE c.cp_id=?", string(cp)))
	return shown(func(v *view.CPSettings) view.CPSettings { return *v })(rowOrNone("read settings of a charging point", v, err))
}
