// Package declare turns what a party says of its device into evidence: the
// conformance statement and the 29 tables of ETSI TS 103 701, a manufacturer
// usage description (RFC 8520), or the answers to our questionnaire.
//
// A declaration is read strictly (an unknown column, a reference to a row that
// is not there or a claim for a provision that does not exist is an error with
// its line) and becomes an api.Examination of kind declaration: findings with
// confidence Declared, the services the device is said to need, its components.
// Which provision and which column answers which indicator stands in data
// (data/mapping.json); the tables with their columns stand in
// data/tables.json, the provisions in data/standards.json, the questions in
// data/questions.json. TS 103 701 leaves the tables to word processors; the
// columns marked "ours" make them answerable by a machine.
//
// A claim is not its proof. A provision that is claimed while the table that
// has to describe it is empty comes out as unknown. A row that says otherwise
// than the claim wins over it. Nothing a party says is ever more than declared:
// Contradict sets it against what was measured.
//
// The package does no I/O and starts no goroutine; what it loads is read-only
// afterwards. Standards: ETSI EN 303 645 V3.1.3 and V2.1.1 clauses 5 and 6;
// ETSI TS 103 701 annexes B and C; UK SI 2023/1007 schedules 1 and 2; GB
// 35114-2017; CNS 16120-2.
package declare
