-- A ticket and its tariff, with prices in whole minor units.
INSERT INTO cps (cp_id,admitted,name,place,agent,simulated,first_heard,present,waiting_journal,named,conn,online,presence_at,first_journal,
  first_seq,next_journal,next_seq,last_journal,last_seq,position,faults,forked_at,fork)
  VALUES ('CP_1',1,'','','',0,1,'','','',0,0,0,'',0,'',0,'',0,'','[]',0,'');
INSERT INTO tariffs (version,start_fee_cents,per_kwh_cents,currency,made_at) VALUES ('hrk-1',750,350,'HRK',1), ('absurd',0,9223372036854775807,'EUR',2);
INSERT INTO sessions (session_id,cp_id,connector,state,username,reservation_id,tariff,by,start_wh,start_known,register_wh,started,authorized_at,
  started_at,ended_at,heard_at,reason,settled,spans) VALUES ('s1','CP_1',1,'ended','ana','','hrk-1','order',1000,1,2234,1,5,6,7,8,'local',0,'[]');
INSERT INTO tickets (ticket_id,session_id,cp_id,connector,username,reservation_id,tariff,start_wh,stop_wh,energy_wh,cost_cents,currency,
  duration_sec,started,authorized_at,ended_at,reason) VALUES ('t.s1','s1','CP_1',1,'ana','','hrk-1',1000,2234,1234,1182,'HRK',0,1,5,7,'local');
