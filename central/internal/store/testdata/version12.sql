-- Rows in every table and column that version 13 renamed, as version 12 wrote them.
INSERT INTO cps (cp_id,admitted,name,place,agent,simulated,first_heard,present,waiting_journal,named,conn,online,presence_at,
  first_journal,first_seq,next_journal,next_seq,last_journal,last_seq,position,faults,forked_at,fork)
  VALUES ('CP',1,'','','',0,11,'','','',0,0,0,'',0,'',0,'',0,'','[]',0,'');
INSERT INTO sessions VALUES ('s1','CP',1,'open','ana','','','order',0,1,500,1,1,1,0,12,'',0,'[]');
INSERT INTO holes VALUES ('CP.j.3','CP','j',3,5,'damaged','d',13,'[{"First":3,"Last":5}]',7,'[{"Connector":1,"Before":2}]',1,3),
  ('CP.j.9','CP','j',9,9,'forgotten','d',14,'[]',0,'[]',0,0);
INSERT INTO alarms VALUES ('hole.CP.j.3','hole','CP',0,13,'d',0), ('anomaly_seen.CP.x','anomaly_seen','CP',0,13,'d',0);
INSERT INTO reservations VALUES ('r1','CP',1,'ana','',1,2,3,4,'cancelled','',0,0,1,'m'), ('r2','CP',1,'ana','',1,2,3,4,'cancelled','',0,1,0,'');
INSERT INTO wishes VALUES ('availability','CP',1,'','','','',0,15,0,0,''), ('start','CP',1,'s1','ana','','',1,16,17,18,'done');
INSERT INTO requests VALUES ('ana','m','AUTHORIZATION_REQUEST','web','CP',5,6,'[{"CPID":"CP","Connector":1}]',19,'','',0),
  ('ana','n','STOP_REQUEST','web','CP',5,6,'[]',0,'','',1);
