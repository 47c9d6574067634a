-- champion_changes
-- Every promotion and rollback, oldest first, with the status that its model has now.
SELECT model_id, verdict, models.status
FROM promotions
JOIN models ON models.id = model_id
WHERE verdict IN ('promoted', 'rolled back')
ORDER BY promotions.id

-- last_replaced_champion
-- The model that the last change of champions replaced.
SELECT previous_id
FROM promotions
WHERE verdict IN ('promoted', 'rolled back')
ORDER BY id DESC
LIMIT 1
