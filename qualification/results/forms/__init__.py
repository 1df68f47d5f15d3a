"""The results of a run in the forms that other tools read: JUnit, Allure, Prometheus and OCP."""
