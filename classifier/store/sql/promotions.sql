-- champion_changes
-- Return every promotion and rollback, oldest first, with the present status of the model.
SELECT model_id, verdict, models.status
FROM promotions
JOIN models ON models.id = model_id
WHERE task_id = :task_id AND verdict IN ('promoted', 'rolled back')
ORDER BY promotions.id

-- last_replaced_champion
-- Return the model that the last change of champion replaced.
SELECT previous_id
FROM promotions
JOIN models ON models.id = model_id
WHERE task_id = :task_id AND verdict IN ('promoted', 'rolled back')
ORDER BY promotions.id DESC
LIMIT 1
